"""Where another camera helps most, which cameras tell the same, and which one could move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.plan_volume import (
    Box,
    Hits,
    draw_hits,
    needed_views,
    trace_of_inverse,
    view_information,
    weighted_quantile,
)
from multiview.bootstrap.planner import Detector
from multiview.core import Camera, Rig
from multiview.geometry.axes import look_at, up_axes

__all__ = [
    "Aim",
    "Move",
    "Score",
    "Step",
    "Survey",
    "TwinViews",
    "best_move",
    "candidate_cameras",
    "grow_rig",
    "twin_views",
]

Aim = Literal["median", "p95"]
SHARES: dict[Aim, float] = {"median": 0.5, "p95": 0.95}
# Positions that a search looks at, directions and distances (of the cameras' median) it tries.
POSITIONS, DIRECTIONS, DISTANCES = 216, 160, (0.75, 1.0, 1.25)
# Two views nearer than this tell depth ten times worse than what lies across: sin(angle/2) < 1/10.
# What hides a hand from one hides it from the other, so none is put so near another.
TWIN_ANGLE = 2 * np.arcsin(0.1)
# Cameras that are tried elsewhere: those that are missed least.
TRIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a rig does over the volume: share of keypoints found, errors of all (missing: inf)."""

    found: float
    median: float
    p95: float

    def better(self, other: Score, aim: Aim) -> bool:
        """Say if the error aimed at is smaller, or where both are infinite, more is found."""
        return self.key(aim) < other.key(aim)

    def key(self, aim: Aim) -> tuple[float, float]:
        """Sort by the error aimed at, then by what is missed."""
        return getattr(self, aim), -self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One camera added: which, and the score with it."""

    camera: Camera
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A camera of the rig, the score without it, and with it at the best other place."""

    name: str
    without: Score
    camera: Camera
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinViews:
    """Two cameras that see the volume from nearly the same side: angle between their rays, rad."""

    first: str
    second: str
    angle: float


class Survey:
    """Information of a rig's cameras at coarse positions; scores rigs with more or fewer.

    Parameters
    ----------
    rig, box, detector, allowed
        As in `multiview.bootstrap.plan_volume.error_map`.
    extra
        Cameras that may be added.
    """

    def __init__(
        self, rig: Rig, box: Box, detector: Detector, allowed: float = 0.01, extra: int = 0
    ) -> None:
        self.rig, self.box, self.detector = rig, box, detector
        self.xyz = box.grid(POSITIONS)[0]
        told = [view_information(c, self.xyz, detector.noise) for c in rig.cameras]
        self.hits: Hits = draw_hits(len(told) + extra, detector.rate)
        self.needed: IntArray = needed_views(detector, len(told) + extra, allowed)
        self.parts = [self._part(v, info, seen) for v, (info, seen) in enumerate(told)]
        self.without_any = _Sums(
            H=np.zeros((len(self.hits.weight), len(self.xyz), 6)),
            count=np.zeros((len(self.hits.weight), len(self.xyz)), np.int64),
            views=np.zeros(len(self.xyz), np.int64),
        )
        self.sums = sum(self.parts, self.without_any)

    def _part(self, draw: int, info: F64, seen: BoolArray) -> _Sums:
        """Return what one camera adds, where its hits are those of column ``draw``."""
        hit = self.hits.hit[:, draw]
        return _Sums(
            H=hit[:, None, None] * info,
            count=(hit[:, None] & seen).astype(np.int64),
            views=seen.astype(np.int64),
        )

    def part(self, draw: int, camera: Camera) -> _Sums:
        """Return what another camera adds."""
        return self._part(draw, *view_information(camera, self.xyz, self.detector.noise))

    def score(self, sums: _Sums) -> Score:
        """Score a rig by the sum of its parts."""
        enough = sums.count >= self.needed[sums.views]
        error = np.sqrt(np.where(enough, trace_of_inverse(sums.H), np.inf)).T
        w = self.hits.weight
        return Score(
            found=float((np.isfinite(error) @ w).mean()),
            median=weighted_quantile(error, w, 0.5),
            p95=weighted_quantile(error, w, 0.95),
        )

    def best(
        self, sums: _Sums, draw: int, candidates: tuple[Camera, ...], aim: Aim
    ) -> tuple[Camera, _Sums, Score]:
        """Return the candidate that helps most, the sums with it and their score."""
        scored = [self.score(sums + self.part(draw, c)) for c in candidates]
        at = min(range(len(scored)), key=lambda n: scored[n].key(aim))
        return candidates[at], sums + self.part(draw, candidates[at]), scored[at]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Information (S, N, 6) and number of views that hit (S, N), and that see (N,)."""

    H: F64
    count: IntArray
    views: IntArray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            H=self.H + other.H,
            count=self.count + other.count,
            views=self.views + other.views,
        )


def candidate_cameras(rig: Rig, box: Box, *, below: bool = False) -> tuple[Camera, ...]:
    """Poses on shells around the volume that look at its centre, with the rig's median lens.

    Parameters
    ----------
    rig, box
        Cameras and volume.
    below
        Also try places lower than the rig's lowest camera, where there may be a floor.

    Returns
    -------
    tuple
        All outside the box.
    """
    up = up_axes(rig)[2]
    focal = [c.intrinsics.K[0, 0] / min(c.intrinsics.size_wh) for c in rig.cameras]
    lens = rig.cameras[int(np.argsort(focal, kind="stable")[len(focal) // 2])].intrinsics
    offset = rig.centres_world - box.centre
    reach = float(np.median(np.linalg.norm(offset, axis=-1)))
    lowest = -np.inf if below else float((offset @ up).min()) - 1e-9
    out = []
    for distance in DISTANCES:
        for direction in _directions(DIRECTIONS):
            place = distance * reach * direction
            centre = box.centre + place
            inside = ((centre > box.low) & (centre < box.high)).all()
            if inside or place @ up < lowest:
                continue
            pose = look_at(centre, box.centre, up_world=up)
            out.append(Camera(name="new", intrinsics=lens, cam_from_world=pose))
    return tuple(out)


def _directions(n: int) -> F64:
    """Spread unit vectors evenly over the sphere (Fibonacci lattice), shape (n, 3)."""
    z = 1 - 2 * (np.arange(n) + 0.5) / n
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5))
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], -1)


def grow_rig(
    survey: Survey, candidates: tuple[Camera, ...], count: int, aim: Aim = "p95"
) -> tuple[Score, tuple[Step, ...]]:
    """Add cameras one by one, each where it lowers the error most.

    Greedy: the best pair may be another than the best camera and the best after it.

    Parameters
    ----------
    survey
        Of the rig, with at least ``count`` extra cameras.
    candidates
        Where they may stand.
    count
        How many.
    aim
        Which error of all keypoints in the volume.

    Returns
    -------
    Score, tuple of Step
        Of the rig as it is, and after each camera; ends where none helps.
    """
    sums, cameras, steps = survey.sums, list(survey.rig.cameras), []
    start = score = survey.score(sums)
    for k in range(count):
        free = _apart(candidates, cameras, survey.box)
        if not free:
            break
        camera, sums, new = survey.best(sums, len(cameras), free, aim)
        if not new.better(score, aim):
            break
        score = new
        cameras.append(camera)
        steps.append(Step(camera=replace(camera, name=f"new{k + 1}"), score=score))
    return start, tuple(steps)


def _apart(candidates: tuple[Camera, ...], taken: list[Camera], box: Box) -> tuple[Camera, ...]:
    """Candidates that see the middle of the volume from another side than every camera there is."""
    if not candidates or not taken:
        return candidates
    new, old = (
        np.stack([c.centre_world for c in cameras]) - box.centre for cameras in (candidates, taken)
    )
    new, old = (d / np.linalg.norm(d, axis=-1, keepdims=True) for d in (new, old))
    apart = ((new @ old.T) < np.cos(TWIN_ANGLE)).all(1)
    return tuple(c for c, good in zip(candidates, apart, strict=True) if good)


def best_move(survey: Survey, candidates: tuple[Camera, ...], aim: Aim = "p95") -> Move | None:
    """Find the camera that is missed least where it is and helps most elsewhere.

    None if no move is better than the rig as it is.
    """
    start = survey.score(survey.sums)
    rest = [
        sum((p for u, p in enumerate(survey.parts) if u != v), survey.without_any)
        for v in range(len(survey.parts))
    ]
    without = [survey.score(r) for r in rest]
    least = sorted(range(len(rest)), key=lambda v: without[v].key(aim))[:TRIED]
    found: Move | None = None
    for v in least:
        others = [c for u, c in enumerate(survey.rig.cameras) if u != v]
        free = _apart(candidates, others, survey.box)
        if not free:
            continue
        camera, _, score = survey.best(rest[v], v, free, aim)
        if score.better(start if found is None else found.score, aim):
            name = survey.rig.names[v]
            camera = replace(camera, name=name)
            found = Move(name=name, without=without[v], camera=camera, score=score)
    return found


def twin_views(rig: Rig, box: Box) -> tuple[TwinViews, ...]:
    """Pairs of cameras that see the volume from nearly the same side, the nearest first.

    They tell each other's depth ten times worse than what lies across, and hands hide from both at
    once: one of them would do more elsewhere.
    """
    xyz = box.grid(POSITIONS)[0]
    rays = xyz - rig.centres_world[:, None]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    seen = np.stack([view_information(c, xyz, 1.0)[1] for c in rig.cameras])
    out = []
    for a in range(len(rays)):
        for b in range(a + 1, len(rays)):
            both = seen[a] & seen[b]
            if not both.any():
                continue
            cosine = (rays[a, both] * rays[b, both]).sum(-1)
            angle = float(np.median(np.arccos(np.clip(cosine, -1, 1))))
            if angle < TWIN_ANGLE:
                out.append(TwinViews(first=rig.names[a], second=rig.names[b], angle=angle))
    return tuple(sorted(out, key=lambda t: t.angle))
