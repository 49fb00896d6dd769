"""A calibration as flat lists of corners and sightings: what figures and pictures are made from.

Only this file knows how `CalibrationResult` lays out its arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.result import BoardFit, CalibrationResult
from multiview.core import Rig

__all__ = ["Evidence", "gather_evidence"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# A view of a board agrees with the rig when at least this share of its corners was kept.
AGREE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """N found corners in S sightings (one board in one picture) of P board poses.

    Parameters
    ----------
    rig
        V cameras.
    noise_px
        Corner noise per coordinate, shape (V,).
    xy_px, residual_px, inlier
        Found corners, shape (N, 2); predicted minus found, (N, 2), NaN where not predictable; and
        whether they carry the rig, (N,).
    sighting, corner
        Of each corner, shape (N,), and its number on its board, (N,).
    view, pose
        Camera of each sighting, (S,), and its board pose, (S,); -1 where the pose is unknown.
    xyz_corner
        World position of each corner on its posed board, shape (N, 3); NaN where unknown.
    pose_R, pose_t
        ``world_from_board`` of each pose, shapes (P, 3, 3) and (P, 3).
    pose_frame
        Frame number of each pose, shape (P,).
    points, kind
        Corners of each kind of board in its own frame, shapes (C, 3), and each pose's kind, (P,).
    """

    rig: Rig
    noise_px: F64
    xy_px: F64
    residual_px: F64
    inlier: Bools
    sighting: Ints
    corner: Ints
    view: Ints
    pose: Ints
    xyz_corner: F64
    pose_R: F64
    pose_t: F64
    pose_frame: Ints
    points: tuple[F64, ...]
    kind: Ints

    @property
    def outlines(self) -> F64:
        """Rectangles around the corners of each kind of board, shape (kinds, 4, 3)."""
        return np.stack([_outline(p) for p in self.points])

    @property
    def corner_view(self) -> Ints:
        """Camera of each corner, shape (N,)."""
        return np.asarray(self.view[self.sighting])

    @property
    def agrees(self) -> Bools:
        """Sightings that agree with the rig, shape (S,)."""
        found = np.bincount(self.sighting, minlength=len(self.view))
        kept = np.bincount(self.sighting, self.inlier, minlength=len(self.view))
        return np.asarray((kept >= AGREE_SHARE * found) & (self.pose >= 0) & (kept > 0))

    def of_view(self, view: int) -> Ints:
        """Return the corners of one camera."""
        return np.flatnonzero(self.corner_view == view)

    def shared(self, sightings: Bools | None = None) -> Ints:
        """Board poses that each pair of cameras has in common, shape (V, V); zero diagonal."""
        use = self.pose >= 0 if sightings is None else sightings & (self.pose >= 0)
        sees = np.zeros((len(self.rig.cameras), max(len(self.pose_t), 1)), np.int64)
        sees[self.view[use], self.pose[use]] = 1
        both = sees @ sees.T
        np.fill_diagonal(both, 0)
        return np.asarray(both)

    def board_in_camera(self) -> tuple[F64, F64]:
        """Turn and centre of each sighting's board in its camera, (S, 3, 3), (S, 3), or NaN."""
        cam_R, cam_t = self.rig.cam_from_world
        R, t = np.full((len(self.view), 3, 3), np.nan), np.full((len(self.view), 3), np.nan)
        known = self.pose >= 0
        v, p = self.view[known], self.pose[known]
        R[known] = cam_R[v] @ self.pose_R[p]
        t[known] = np.einsum("sij,sj->si", cam_R[v], self._centres()[p]) + cam_t[v]
        return R, t

    def _centres(self) -> F64:
        middle = self.outlines.mean(1)
        return np.asarray(np.einsum("pij,pj->pi", self.pose_R, middle[self.kind]) + self.pose_t)

    def board_corners_world(self) -> F64:
        """Outlines of all posed boards, shape (P, 4, 3)."""
        corners = self.outlines[self.kind]
        return np.asarray(corners @ np.swapaxes(self.pose_R, -1, -2) + self.pose_t[:, None])


def gather_evidence(result: CalibrationResult) -> Evidence:
    """List the corners and sightings of a calibration."""
    parts = [_of_board(part, kind) for kind, part in enumerate(result.boards)]
    sightings = np.cumsum([0, *(len(p["view"]) for p in parts)])
    poses = np.cumsum([0, *(len(p["pose_t"]) for p in parts)])
    for part, first_sighting, first_pose in zip(parts, sightings, poses, strict=False):
        part["sighting"] = part["sighting"] + first_sighting
        part["pose"] = np.where(part["pose"] >= 0, part["pose"] + first_pose, -1)
    return Evidence(
        rig=result.rig,
        noise_px=np.array([c.noise_px for c in result.cameras]),
        points=tuple(part.xyz_board for part in result.boards),
        **{name: np.concatenate([p[name] for p in parts]) for name in parts[0]},
    )


def _of_board(part: BoardFit, kind: int) -> dict[str, Any]:
    """Return the arrays of `Evidence` for one board."""
    posed, pose_of_frame = _poses(part)
    view, frame, corner = np.nonzero(part.corners.valid)
    key, sighting = np.unique(view * len(pose_of_frame) + frame, return_inverse=True)
    R, t = part.world_from_board_R[frame], part.world_from_board_t[frame]
    return {
        "xy_px": part.corners.xy_px[view, frame, corner],
        "residual_px": part.residual_px[view, frame, corner],
        "inlier": part.inlier[view, frame, corner],
        "sighting": sighting.reshape(-1),
        "corner": corner,
        "view": key // len(pose_of_frame),
        "pose": pose_of_frame[key % len(pose_of_frame)],
        "xyz_corner": np.einsum("nij,nj->ni", R, part.xyz_board[corner]) + t,
        "pose_R": part.world_from_board_R[posed],
        "pose_t": part.world_from_board_t[posed],
        "pose_frame": part.corners.frame_ids[posed],
        "kind": np.full(len(posed), kind),
    }


def _poses(part: BoardFit) -> tuple[Ints, Ints]:
    """Frames that stand for the poses of a board, and the pose of each frame (-1 for none)."""
    frames = np.flatnonzero(np.isfinite(part.world_from_board_t).all(-1))
    pose_of_frame = np.full(len(part.world_from_board_t), -1)
    if part.board.static and len(frames):  # one pose, whenever it was seen
        pose_of_frame[frames] = 0
        return frames[:1], pose_of_frame
    pose_of_frame[frames] = np.arange(len(frames))
    return frames, pose_of_frame


def _outline(points: F64) -> F64:
    """Corners of the rectangle around a board's points, shape (4, 3)."""
    (x0, y0, z), (x1, y1, _) = points.min(0), points.max(0)
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
