"""The calibration report as one self-contained HTML page."""

from multiview.calib.page.build import report_html

__all__ = ["report_html"]
