"""Calibration of a rig from footage of a board."""

from multiview.calib.board import Board, Tag, load_board
from multiview.calib.board_spec import board_spec, parse_board
from multiview.calib.corners import BoardCorners, detect_board, detect_boards, detect_corners
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
    "Tag",
    "board_spec",
    "calibrate",
    "calibrate_corners",
    "detect_board",
    "detect_boards",
    "detect_corners",
    "expected_error",
    "load_board",
    "parse_board",
    "report_data",
    "report_html",
    "report_markdown",
]
