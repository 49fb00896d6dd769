"""The measurement model of a rig and boards, its residuals and its normal equations.

A *sighting* is one board seen by one camera. Corner ``i`` of a sighting of board ``b`` by camera
``v`` is predicted at ``project(R_v (R_b X_i + t_b) + t_v)`` with ``X`` about the board's centre
(Triggs et al., "Bundle adjustment: a modern synthesis", 2000). Everything is vectorised over
sightings and corners; only cameras are looped over, because each has a lens of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.so3 import exp_so3
from multiview.core import Intrinsics
from multiview.geometry.lens import distort
from multiview.geometry.project import project, project_jacobian

__all__ = ["CAMERA", "LENS", "Normals", "Sightings", "State", "linearise", "residuals"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# Parameters of a camera: rotation 3, translation 3, then fx fy cx cy and five coefficients
# (brown: k1 k2 p1 p2 k3; fisheye: k1 k2 k3 k4, the fifth unused).
POSE, LENS = 6, 9
CAMERA = POSE + LENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """Corners of boards seen by cameras, sorted by camera.

    Parameters
    ----------
    view, board
        Camera and board of each sighting, shape (S,).
    xy_px
        Shape (S, C, 2), recorded pixels; NaN where not seen.
    xyz_board
        Corners about the board's centre, shape (C, 3), metres.
    """

    view: Ints
    board: Ints
    xy_px: F64
    xyz_board: F64

    @property
    def seen(self) -> Bools:
        """Which corners were found, shape (S, C)."""
        return ~np.isnan(self.xy_px[..., 0])

    def take(self, keep: NDArray[np.generic]) -> Sightings:
        """Return a subset of the sightings."""
        return replace(self, view=self.view[keep], board=self.board[keep], xy_px=self.xy_px[keep])

    def by_view(self, views: int) -> Iterator[tuple[int, slice]]:
        """Yield each camera that has sightings, and where they are."""
        bounds = np.searchsorted(self.view, np.arange(views + 1))
        for v in range(views):
            if bounds[v] < bounds[v + 1]:
                yield v, slice(int(bounds[v]), int(bounds[v + 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All unknowns: lenses, camera poses ``cam_from_world``, board poses ``world_from_board``."""

    lenses: tuple[Intrinsics, ...]
    cam_R: F64
    cam_t: F64
    board_R: F64
    board_t: F64

    def moved_boards(self, step: F64) -> State:
        """Apply steps (B, 6) in the boards' own frames."""
        turned = self.board_R @ exp_so3(step[:, :3])
        shifted = self.board_t + np.einsum("bij,bj->bi", self.board_R, step[:, 3:])
        return replace(self, board_R=turned, board_t=shifted)

    def moved_cameras(self, step: F64) -> State:
        """Apply steps (V, 15) of pose (in the cameras' frames) and lens."""
        turn = exp_so3(step[:, :3])
        lenses = tuple(_moved_lens(i, s) for i, s in zip(self.lenses, step[:, POSE:], strict=True))
        shifted = np.einsum("vij,vj->vi", turn, self.cam_t) + step[:, 3:6]
        return replace(self, lenses=lenses, cam_R=turn @ self.cam_R, cam_t=shifted)

    def xyz_cam(self, seen: Sightings, part: slice) -> F64:
        """Corners of some sightings in their cameras' frames, shape (S, C, 3)."""
        v, b = seen.view[part], seen.board[part]
        R = self.cam_R[v] @ self.board_R[b]
        t = np.einsum("sij,sj->si", self.cam_R[v], self.board_t[b]) + self.cam_t[v]
        return np.asarray(seen.xyz_board @ np.swapaxes(R, -1, -2) + t[:, None])


def _moved_lens(lens: Intrinsics, step: F64) -> Intrinsics:
    if not step.any():
        return lens
    K, dist = lens.K.copy(), lens.dist.copy()
    K[0, 0] *= np.exp(step[0] / K[0, 0])  # stays positive whatever the step
    K[1, 1] *= np.exp(step[1] / K[1, 1])
    K[:2, 2] += step[2:4]
    dist[: LENS - 4] += step[4 : 4 + min(dist.size, LENS - 4)]
    return replace(lens, K=K, dist=dist)


def residuals(state: State, seen: Sightings) -> F64:
    """Predicted minus found, pixels, shape (S, C, 2); NaN where not seen or not predictable."""
    out = np.empty_like(seen.xy_px)
    for v, part in seen.by_view(len(state.lenses)):
        lens = state.lenses[v]
        xy = project(state.xyz_cam(seen, part), lens.K, lens.dist, lens.model)
        out[part] = xy - seen.xy_px[part]
    return out


def lens_jacobian(xyz_cam: F64, lens: Intrinsics) -> F64:
    """Differentiate pixels by fx fy cx cy and the first five coefficients, (..., 2, 9)."""
    xy = xyz_cam[..., :2] / xyz_cam[..., 2:]
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    out = np.zeros((*x.shape, 2, LENS))
    distorted = distort(xy, lens.dist, lens.model)
    out[..., 0, 0], out[..., 1, 1] = distorted[..., 0], distorted[..., 1]
    out[..., 0, 2] = out[..., 1, 3] = 1
    size = min(lens.dist.size, LENS - 4)
    if lens.model == "fisheye":
        r = np.sqrt(np.maximum(r2, 1e-300))
        theta = np.arctan(r)
        by_k = (theta / r)[..., None] * theta[..., None] ** np.array([2, 4, 6, 8])
        out[..., 4:8] = xy[..., None] * by_k[..., None, :]
    else:
        # a rational lens divides the radial part; its own coefficients are not refined
        den = 1 + sum(lens.dist[5 + i] * r2 ** (i + 1) for i in range(3) if lens.dist.size >= 8)
        for column, power in ((4, 1), (5, 2), (8, 3)):
            out[..., column] = xy * (r2**power / den)[..., None]
        out[..., 0, 6] = out[..., 1, 7] = 2 * x * y
        out[..., 1, 6], out[..., 0, 7] = r2 + 2 * y * y, r2 + 2 * x * x
    out[..., 4 + size :] = 0
    out[..., 4:] *= np.diag(lens.K)[:2, None]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """Gauss-Newton blocks: cameras (V, 15, 15), boards (B, 6, 6), and sightings (S, 15, 6)."""

    H_cam: F64
    g_cam: F64
    H_board: F64
    g_board: F64
    H_cross: F64


def linearise(
    state: State, seen: Sightings, weight: F64, *, cameras: bool = True
) -> tuple[F64, Normals]:
    """Residuals and weighted normal equations.

    Parameters
    ----------
    state, seen
        Where, and what was measured.
    weight
        Of each corner, shape (S, C), 1 / px^2; zero for corners to be left out.
    cameras
        Whether blocks of the cameras are wanted.

    Returns
    -------
    tuple
        Residuals as in `residuals`, and the blocks.
    """
    V, B, S = len(state.lenses), len(state.board_R), len(seen.view)
    H_cam, g_cam = np.zeros((V, CAMERA, CAMERA)), np.zeros((V, CAMERA))
    H_cross = np.zeros((S, CAMERA, 6))
    H_sight, g_sight = np.zeros((S, 6, 6)), np.zeros((S, 6))
    res = np.empty_like(seen.xy_px)
    for v, part in seen.by_view(V):
        xyz = state.xyz_cam(seen, part)
        lens = state.lenses[v]
        xy, by_xyz = project_jacobian(xyz, lens.K, lens.dist, lens.model)
        res[part] = xy - seen.xy_px[part]
        bad = ~np.isfinite(res[part]).all(-1) | (weight[part] <= 0)
        root = np.sqrt(np.where(bad, 0.0, weight[part]))[..., None, None]
        count = len(xyz)
        r = (np.where(bad[..., None], 0.0, res[part])[..., None] * root).reshape(count, -1, 1)
        by_xyz = np.where(bad[..., None, None], 0.0, by_xyz * root)
        J_board = _by_board(by_xyz, state.cam_R[v] @ state.board_R[seen.board[part]], seen)
        H_sight[part] = np.swapaxes(J_board, 1, 2) @ J_board
        g_sight[part] = (np.swapaxes(J_board, 1, 2) @ r)[..., 0]
        if cameras:
            by_lens = np.where(bad[..., None, None], 0.0, lens_jacobian(xyz, lens) * root)
            J = np.concatenate(
                [np.cross(xyz[..., None, :], by_xyz), by_xyz, by_lens], axis=-1
            ).reshape(count, -1, CAMERA)
            flat = J.reshape(-1, CAMERA)
            H_cam[v], g_cam[v] = flat.T @ flat, flat.T @ r.reshape(-1)
            H_cross[part] = np.swapaxes(J, 1, 2) @ J_board
    H_board, g_board = np.zeros((B, 6, 6)), np.zeros((B, 6))
    np.add.at(H_board, seen.board, H_sight)
    np.add.at(g_board, seen.board, g_sight)
    return res, Normals(H_cam=H_cam, g_cam=g_cam, H_board=H_board, g_board=g_board, H_cross=H_cross)


def _by_board(by_xyz: F64, R: F64, seen: Sightings) -> F64:
    """Differentiate by steps of the boards, shape (S, 2 C, 6)."""
    by_shift = by_xyz @ R[:, None]
    by_turn = np.cross(seen.xyz_board[:, None, :], by_shift)
    return np.concatenate([by_turn, by_shift], axis=-1).reshape(len(R), -1, 6)
