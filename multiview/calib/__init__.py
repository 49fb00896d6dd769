"""Calibration of a rig from footage of a board."""

from multiview.calib.board import Board, Tag, load_board
from multiview.calib.board_spec import board_spec, parse_board
from multiview.calib.corners import BoardCorners, detect_board, detect_boards, detect_corners
from multiview.calib.report import report_data, report_markdown
from multiview.calib.result import CalibrationResult, CameraFigures, HeldOut
from multiview.calib.solve import calibrate, calibrate_corners

__all__ = [
    "Board",
    "BoardCorners",
    "CalibrationResult",
    "CameraFigures",
    "HeldOut",
    "Tag",
    "board_spec",
    "calibrate",
    "calibrate_corners",
    "detect_board",
    "detect_boards",
    "detect_corners",
    "load_board",
    "parse_board",
    "report_data",
    "report_markdown",
]
