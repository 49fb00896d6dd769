"""The measurement model of a rig and boards: sightings, unknowns, residuals.

A *sighting* is one board seen by one camera. Corner ``i`` of a sighting of board pose ``b`` by
camera ``v`` is predicted at ``project(R_v (R_b X_i + t_b) + t_v)`` with ``X`` about the board's
centre, bent by the heights of `multiview.calib.targets` (Triggs et al., "Bundle adjustment: a
modern synthesis", 2000). Only cameras are looped over, because each has a lens of its own; within
one, coordinates are kept apart, (sightings, 3, corners), so that every operation runs in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview._shapes import BoolArray as Bools
from multiview._shapes import IntArray as Ints
from multiview.calib.so3 import exp_so3
from multiview.calib.targets import BENDS, Targets
from multiview.core import Intrinsics
from multiview.core.covariance import LENS, POSE
from multiview.geometry.lens import distort_parts

__all__ = [
    "LENS",
    "POSE",
    "Bools",
    "Ints",
    "Sightings",
    "State",
    "corner_xyz",
    "residuals",
    "target_xyz",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """Corners of boards seen by cameras, sorted by camera.

    Parameters
    ----------
    view, board, target
        Camera, board pose, and which of the `targets` it is, of each sighting, shape (S,).
    xy_px
        Shape (S, C, 2), recorded pixels; NaN where not seen.
    targets
        The boards.
    """

    view: Ints
    board: Ints
    target: Ints
    xy_px: F64
    targets: Targets

    @property
    def seen(self) -> Bools:
        """Which corners were found, shape (S, C)."""
        return ~np.isnan(self.xy_px[..., 0])

    @property
    def xyz_board(self) -> F64:
        """Corners about the board's centre as if flat, shape (S, C, 3), metres."""
        return self.targets.xyz[self.target]

    def take(self, keep: NDArray[np.generic]) -> Sightings:
        """Return a subset of the sightings."""
        return replace(
            self,
            view=self.view[keep],
            board=self.board[keep],
            target=self.target[keep],
            xy_px=self.xy_px[keep],
        )

    def by_view(self, views: int) -> Iterator[tuple[int, slice]]:
        """Yield each camera that has sightings, and where they are."""
        bounds = np.searchsorted(self.view, np.arange(views + 1))
        for v in range(views):
            if bounds[v] < bounds[v + 1]:
                yield v, slice(int(bounds[v]), int(bounds[v + 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All unknowns: lenses, camera poses ``cam_from_world``, board poses ``world_from_board``.

    ``bend`` holds the heights of the boards' bends, shape (T, BENDS), metres.
    """

    lenses: tuple[Intrinsics, ...]
    cam_R: F64
    cam_t: F64
    board_R: F64
    board_t: F64
    bend: F64

    @classmethod
    def start(
        cls,
        lenses: tuple[Intrinsics, ...],
        cam: tuple[F64, F64],
        board: tuple[F64, F64],
        targets: int,
    ) -> State:
        """Return a state with flat boards."""
        return cls(
            lenses=lenses,
            cam_R=cam[0],
            cam_t=cam[1],
            board_R=board[0],
            board_t=board[1],
            bend=np.zeros((targets, BENDS)),
        )

    def moved_boards(self, step: F64) -> State:
        """Apply steps (B, 6) in the boards' own frames."""
        turned = self.board_R @ exp_so3(step[:, :3])
        shifted = self.board_t + np.einsum("bij,bj->bi", self.board_R, step[:, 3:])
        return replace(self, board_R=turned, board_t=shifted)

    def moved_cameras(self, pose: F64, lens: F64) -> State:
        """Apply steps of the poses (V, 6), in the cameras' frames, and of the lenses (V, 16)."""
        turn = exp_so3(pose[:, :3])
        lenses = tuple(moved_lens(i, s) for i, s in zip(self.lenses, lens, strict=True))
        shifted = np.einsum("vij,vj->vi", turn, self.cam_t) + pose[:, 3:]
        return replace(self, lenses=lenses, cam_R=turn @ self.cam_R, cam_t=shifted)


def moved_lens(lens: Intrinsics, step: F64) -> Intrinsics:
    """Apply a step of fx fy cx cy and the coefficients, shape (16,)."""
    if not step.any():
        return lens
    K, dist = lens.K.copy(), lens.dist.copy()
    K[0, 0] *= np.exp(step[0] / K[0, 0])  # stays positive whatever the step
    K[1, 1] *= np.exp(step[1] / K[1, 1])
    K[:2, 2] += step[2:4]
    dist += step[4 : 4 + dist.size]
    return replace(lens, K=K, dist=dist)


def corner_xyz(state: State, seen: Sightings, part: slice) -> F64:
    """Corners in their boards' frames, bent, (s, 3, C), or (1, 3, C) where all are one board's."""
    xyz = target_xyz(state, seen)
    return xyz if len(xyz) == 1 else xyz[seen.target[part]]


def target_xyz(state: State, seen: Sightings) -> F64:
    """Corners of all boards in their own frames, bent, shape (T, 3, C), metres."""
    xyz = np.swapaxes(seen.targets.xyz, -1, -2).copy()
    xyz[:, 2] += np.einsum("tk,tkc->tc", state.bend, seen.targets.bend)
    return xyz


def camera_from_board(state: State, seen: Sightings, v: int, part: slice) -> tuple[F64, F64]:
    """Board poses in a camera's frame, shapes (s, 3, 3) and (s, 3)."""
    b = seen.board[part]
    R = state.cam_R[v] @ state.board_R[b]
    return R, state.board_t[b] @ state.cam_R[v].T + state.cam_t[v]


def xyz_in_camera(state: State, seen: Sightings, v: int, part: slice) -> F64:
    """Corners of a camera's sightings in its frame, shape (s, 3, C), metres."""
    R, t = camera_from_board(state, seen, v, part)
    return np.asarray(R @ corner_xyz(state, seen, part) + t[..., None])


def in_front(xyz: F64) -> tuple[F64, F64, F64]:
    """Normalised coordinates of (s, 3, C) and the inverse depth; NaN behind the camera."""
    z = xyz[:, 2]
    inverse = 1 / np.where(z > 0, z, np.nan)
    return xyz[:, 0] * inverse, xyz[:, 1] * inverse, inverse


def residuals(state: State, seen: Sightings) -> F64:
    """Predicted minus found, pixels, shape (S, C, 2); NaN where not seen or not predictable."""
    out = np.empty_like(seen.xy_px)
    for v, part in seen.by_view(len(state.lenses)):
        lens = state.lenses[v]
        x, y, _ = in_front(xyz_in_camera(state, seen, v, part))
        xd, yd, *_ = distort_parts(x, y, lens.dist, lens.model)
        out[part, :, 0] = xd * lens.K[0, 0] + lens.K[0, 2]
        out[part, :, 1] = yd * lens.K[1, 1] + lens.K[1, 2]
    return np.asarray(out - seen.xy_px)
