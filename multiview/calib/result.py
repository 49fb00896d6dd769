"""What a calibration returns: the rig, the evidence for it, and its figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.corners import BoardCorners
from multiview.calib.layout import LensModel
from multiview.core import Rig, RigCovariance

__all__ = ["BoardFit", "CalibrationResult", "CameraFigures", "HeldOut", "LensEvidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFigures:
    """Figures of one camera.

    Parameters
    ----------
    name
        As in the rig.
    views, corners, rejected
        Board views and corners found, and corners dropped as outliers.
    rms_px
        Error length (root mean square) of the corners kept.
    noise_px
        Corner noise per coordinate, from the errors' upper quartile.
    focal_std
        Relative standard deviation of the focal length; 0 where it was given.
    centre_std_px
        Standard deviation of the principal point, pixels; 0 where it was given. Like `focal_std` it
        is what corner noise alone explains; a bent board or cameras out of step add to it.
    fill
        Share of the picture (8 x 6 cells) in which a corner was kept.
    """

    name: str
    views: int
    corners: int
    rejected: int
    rms_px: float
    noise_px: float
    focal_std: float
    centre_std_px: float
    fill: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Errors on boards that the rig was not fitted to; NaN where footage did not allow it.

    Parameters
    ----------
    boards, corners, rejected
        Boards left out, their corners, and those dropped as outliers.
    rms_px
        Cameras fixed, the board's pose fitted to all its views.
    predicted_px
        Cameras fixed, the board's pose fitted to all views but one, error in that one.
    triangulated_mm
        Distance of corners, each triangulated by itself from all its views, from the board (in
        thousandths of the rig's unit).
    """

    boards: int
    corners: int
    rejected: int
    rms_px: float
    predicted_px: float
    triangulated_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFit:
    """One board in a calibrated rig.

    Parameters
    ----------
    board
        What was filmed.
    corners
        As given, with turned chessboards renumbered so that all views of a frame agree.
    world_from_board_R, world_from_board_t
        Poses, shapes (F, 3, 3) and (F, 3), metres; NaN in frames without one.
    residual_px
        Predicted minus found, shape (V, F, C, 2); NaN where not found.
    inlier
        Corners that carry the rig, shape (V, F, C).
    turned
        Views whose corners were numbered from another end, shape (V, F).
    lost
        Views dropped whole, for most of their corners fit nothing, shape (V, F).
    xyz_board
        Corners as they were found to lie, bent, about the board's own origin, (C, 3), metres.
    bend_mm
        Heights by which the board is bowed along its columns and its rows, and twisted.
    """

    board: Board
    corners: BoardCorners
    world_from_board_R: F64
    world_from_board_t: F64
    residual_px: F64
    inlier: NDArray[np.bool_]
    turned: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    xyz_board: F64
    bend_mm: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class LensEvidence:
    """Why a camera got its lens model.

    Parameters
    ----------
    name
        Of the camera.
    model
        Chosen.
    heldout_px
        Root mean square error on boards left out, by model tried; empty where the simplest model
        left nothing to be gained or the model was given.
    """

    name: str
    model: LensModel
    heldout_px: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """A calibrated rig and the evidence for it.

    Parameters
    ----------
    rig
        The world is the first camera's frame, in metres.
    covariance
        Of the rig's parameters, from the corner noise that was measured.
    boards
        What each board says.
    rms_px
        Error length of the inliers, root mean square.
    cameras, lenses, heldout
        Figures.
    warnings
        What to look at before trusting the rig; empty when nothing was noticed.
    """

    rig: Rig
    covariance: RigCovariance
    boards: tuple[BoardFit, ...]
    rms_px: float
    cameras: tuple[CameraFigures, ...]
    lenses: tuple[LensEvidence, ...]
    heldout: HeldOut
    warnings: tuple[str, ...] = ()

    @property
    def board(self) -> Board:
        """The first board."""
        return self.boards[0].board

    @property
    def corners(self) -> BoardCorners:
        """Corners of the first board."""
        return self.boards[0].corners

    @property
    def world_from_board_R(self) -> F64:
        """Rotations of the first board, shape (F, 3, 3)."""
        return self.boards[0].world_from_board_R

    @property
    def world_from_board_t(self) -> F64:
        """Translations of the first board, shape (F, 3), metres."""
        return self.boards[0].world_from_board_t

    @property
    def residual_px(self) -> F64:
        """Errors of the first board's corners, shape (V, F, C, 2)."""
        return self.boards[0].residual_px

    @property
    def inlier(self) -> NDArray[np.bool_]:
        """Corners of the first board that carry the rig, shape (V, F, C)."""
        return self.boards[0].inlier
