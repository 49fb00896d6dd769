"""Calibration of a rig from footage of a board."""

from multiview.calib.board import Board, load_board
from multiview.calib.corners import BoardCorners, detect_board, detect_corners
from multiview.calib.page import report_html
from multiview.calib.report import report_data, report_markdown
from multiview.calib.result import BoardFit, CalibrationResult, CameraFigures, HeldOut, LensEvidence
from multiview.calib.solve import calibrate, calibrate_corners
from multiview.calib.uncertainty import expected_error

__all__ = [
    "Board",
    "BoardCorners",
    "BoardFit",
    "CalibrationResult",
    "CameraFigures",
    "HeldOut",
    "LensEvidence",
    "calibrate",
    "calibrate_corners",
    "detect_board",
    "detect_corners",
    "expected_error",
    "load_board",
    "report_data",
    "report_html",
    "report_markdown",
]
