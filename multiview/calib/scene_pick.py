"""Among several solutions of a scene, the one that explains most.

Two hands can be sorted by a rig only, and a rig found only from sorted hands. From every growth
that the pairs allow, sorting and adjusting alternate until nothing changes; wrong rigs then sort
little together that fits, and what remains is compared at the least noise any of them has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64
from multiview.association import assign_hands
from multiview.calib.bundle import CAUCHY_SIGMA
from multiview.calib.scene_bundle import LITTLE_FREEDOM, freedom, observation_noise
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_problem import Ints, SceneState, Tracks, residuals
from multiview.calib.scene_solve import Solved, make_tracks, posed_rig, solve
from multiview.calib.so3 import rotation_angle
from multiview.core import Detections, Rig
from multiview.errors import CalibrationError

__all__ = ["Takes", "explained", "pick"]

# Frames that solutions are compared on; rounds of sorting and adjusting there and on all frames.
COMPARED, ROUNDS, FINAL_ROUNDS = 50, 8, 20
# Rounds end when no camera turns by more (rad): a tenth of what hands tell of a rotation.
SETTLED = np.deg2rad(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """What is solved: tracks, their places in (F, H, K), the detections, and the lenses."""

    tracks: Tracks
    at: Ints
    detections: Detections
    lenses: Rig

    @property
    def unsorted(self) -> bool:
        """Whether there are two hands in no trusted order."""
        return not self.detections.hands and self.detections.conf.shape[2] > 1


def pick(grown: Sequence[SceneState], takes: Takes, noise_px: float, config: SceneConfig) -> Solved:
    """Adjust what was grown and keep the solution that explains most.

    Raises
    ------
    CalibrationError
        The first failure, if every growth fails.
    """
    few = _thinned(takes) if takes.unsorted else takes
    tried: list[Solved] = []
    failed: CalibrationError | None = None
    for state in grown:
        try:
            tried.append(_settled(state, few, noise_px, config, ROUNDS))
        except CalibrationError as error:
            failed = failed or error
    if failed is not None and not tried:
        raise failed
    best = tried[int(np.argmax(explained(tried)))]
    if not takes.unsorted:
        return best
    noise_px = float(np.median(best.fit.sigma_px))
    return _settled(best.fit.state, takes, noise_px, config, FINAL_ROUNDS)


def _settled(
    state: SceneState, takes: Takes, noise_px: float, config: SceneConfig, rounds: int
) -> Solved:
    """Adjust; where hands are in no order, sort them by the rig, and so on in turns."""
    if not takes.unsorted:
        return solve(takes.tracks, takes.at, takes.detections, state, noise_px, config)
    state = state.in_camera(0)
    for turn in range(rounds):
        dets, _ = assign_hands(takes.detections, posed_rig(state, takes.lenses, "", ""))
        tracks, at = make_tracks(dets, takes.lenses)
        solved = solve(tracks, at, dets, state, noise_px, config)
        before, state = state, solved.fit.state
        noise_px = float(np.median(solved.fit.sigma_px))
        change = rotation_angle(state.R @ np.swapaxes(before.R, -1, -2))
        if float(change.max()) < SETTLED or turn == rounds - 1:
            break
    return solved


def explained(solutions: Sequence[Solved]) -> F64:
    """Count the observations that each solution explains, those with large errors little.

    Errors are taken relative to what the freedom of their points leaves of them, and to the least
    noise of all solutions: each by its own noise would favour the vaguest.
    """
    parts = []
    for solved in solutions:
        state, obs = solved.fit.state, solved.obs
        V = len(state.R)
        res = residuals(state, obs)
        share = np.maximum(freedom(state, obs, np.ones(V)), LITTLE_FREEDOM)
        noise = float(np.median(observation_noise(res, obs, V, share)))
        parts.append(((res**2).sum(-1) / share, noise))
    scale = (min(noise for _, noise in parts) * CAUCHY_SIGMA) ** 2
    return np.array([float((1 / (1 + square / scale)).sum()) for square, _ in parts])


def _thinned(takes: Takes) -> Takes:
    """Keep at most `COMPARED` frames, evenly."""
    dets = takes.detections
    part = slice(None, None, max(1, int(np.ceil(len(dets.frame_ids) / COMPARED))))
    dets = replace(
        dets,
        xy_px=dets.xy_px[:, part],
        conf=dets.conf[:, part],
        right=dets.right[:, part],
        times=dets.times[:, part],
        frame_ids=dets.frame_ids[part],
    )
    tracks, at = make_tracks(dets, takes.lenses)
    return replace(takes, tracks=tracks, at=at, detections=dets)
