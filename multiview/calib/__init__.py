"""Calibration of a rig from footage of a board."""

from multiview.calib.board import Board, load_board
from multiview.calib.corners import BoardCorners, detect_board, detect_corners
from multiview.calib.page import report_html
from multiview.calib.report import report_data, report_markdown
from multiview.calib.result import CalibrationResult, CameraFigures, HeldOut
from multiview.calib.solve import calibrate, calibrate_corners

__all__ = [
    "Board",
    "BoardCorners",
    "CalibrationResult",
    "CameraFigures",
    "HeldOut",
    "calibrate",
    "calibrate_corners",
    "detect_board",
    "detect_corners",
    "load_board",
    "report_data",
    "report_html",
    "report_markdown",
]
