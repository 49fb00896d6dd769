"""How well a rig is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, IntArray, as_f64, check_shapes, freeze
from multiview.errors import ShapeError

__all__ = ["LENS", "POSE", "RigCovariance"]

# Parameters of a camera: rotation 3, translation 3, then fx fy cx cy and the coefficients in
# OpenCV's order (brown: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4; fisheye: k1 k2 k3 k4).
POSE, LENS = 6, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RigCovariance:
    """Covariance of the parameters of a rig that were estimated.

    A small step turns and shifts a camera's frame: ``R`` becomes ``exp(w) R`` and ``t`` becomes
    ``exp(w) t + s``.

    Parameters
    ----------
    matrix
        Shape (P, P): radians, metres, pixels, and coefficients.
    pose
        Column of each camera's ``w`` and ``s``, shape (V, 6); -1 for what is held, as the pose of
        the camera whose frame is the world.
    lens
        Column of fx fy cx cy and the coefficients in OpenCV's order, shape (V, 16); -1 for what is
        held or does not exist. Cameras that share a lens have the same columns.
    """

    matrix: F64
    pose: IntArray
    lens: IntArray

    def __post_init__(self) -> None:
        matrix = as_f64(self.matrix, "RigCovariance.matrix")
        pose, lens = np.asarray(self.pose, np.int64), np.asarray(self.lens, np.int64)
        check_shapes(
            "RigCovariance",
            {"matrix": (matrix, "P P"), "pose": (pose, "V 6"), "lens": (lens, "V 16")},
        )
        columns = np.concatenate([pose.ravel(), lens.ravel()])
        if columns.size and (columns.max() >= len(matrix) or columns.min() < -1):
            raise ShapeError(
                f"RigCovariance names column {columns.max()} of a {len(matrix)} x {len(matrix)} "
                "matrix",
                "columns count from 0; -1 is what is held",
            )
        object.__setattr__(self, "matrix", freeze(matrix))
        object.__setattr__(self, "pose", freeze(pose))
        object.__setattr__(self, "lens", freeze(lens))

    def select(self, views: Sequence[int]) -> RigCovariance:
        """Return that of some cameras, in this order."""
        pose, lens = self.pose[list(views)], self.lens[list(views)]
        used = np.unique(np.concatenate([pose.ravel(), lens.ravel()]))
        used = used[used >= 0]
        new = np.full(len(self.matrix) + 1, -1)
        new[used] = np.arange(len(used))
        return RigCovariance(matrix=self.matrix[np.ix_(used, used)], pose=new[pose], lens=new[lens])

    def scaled(self, scale: float) -> RigCovariance:
        """Return that of the same rig with all lengths multiplied."""
        factor = np.ones(len(self.matrix))
        shifts = self.pose[:, 3:]
        factor[shifts[shifts >= 0]] = scale
        return RigCovariance(
            matrix=self.matrix * np.outer(factor, factor), pose=self.pose, lens=self.lens
        )

    @property
    def pose_std(self) -> F64:
        """Standard deviations of turn (rad) and shift (m), shape (V, 6); 0 for what is held."""
        return self._std(self.pose)

    @property
    def lens_std(self) -> F64:
        """Standard deviations of the lens parameters, shape (V, 16); 0 for what is held."""
        return self._std(self.lens)

    def _std(self, columns: IntArray) -> F64:
        std = np.append(np.sqrt(np.maximum(np.diag(self.matrix), 0)), 0.0)
        return np.asarray(std[columns])
