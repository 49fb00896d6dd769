"""Expected error over the capture volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from multiview._shapes import F64
from multiview.calib.evidence import Evidence
from multiview.calib.page.charts import error_range, error_views
from multiview.errors import ShapeError
from multiview.geometry.axes import up_axes
from multiview.page.svg import legend

__all__ = ["ExpectedError", "volume_section"]

# Positions (N, 3) in metres and the error expected there, millimetres (N,); or a function that
# gives the errors at positions.
ExpectedError = tuple[F64, F64] | Callable[[F64], F64]
# Steps of the grid of positions that a function is asked for, along each axis.
GRID = 9


def volume_section(evidence: Evidence, expected: ExpectedError | None) -> str:
    """Write the section; empty where no expected error is given."""
    if expected is None or not len(evidence.pose_t):
        return ""
    if callable(expected):
        positions = _volume_grid(evidence)
        rms = np.asarray(expected(positions), np.float64)
    else:
        positions, rms = (np.asarray(a, np.float64) for a in expected)
    if positions.ndim != 2 or positions.shape[1:] != (3,) or rms.shape != (len(positions),):
        raise ShapeError(
            f"expected errors of shape {rms.shape} at positions of shape {positions.shape}",
            "give positions (N, 3) in metres and errors (N,) in millimetres",
        )
    known = np.isfinite(rms) & np.isfinite(positions).all(-1)
    if not known.any():
        return ""
    top, side = error_views(evidence, positions[known], rms[known])
    light, dark = error_range(rms[known])
    low, middle, high = np.quantile(rms[known], [0.05, 0.5, 0.95])
    return (
        '<h2 id="volume">Expected error in the volume</h2><p>The calibration alone puts a '
        "point that all cameras with it in the picture see exactly off by an expected "
        f"<strong>{middle:.3g} mm</strong> in the median (root mean square), {low:.3g} mm in the "
        f"best and {high:.3g} mm in the worst twentieth of the places. What finds the point in the "
        f"pictures adds its own error.</p>{legend(f'{light:.3g} mm', f'{dark:.3g} mm')}"
        f'<div class="two"><figure>{top}<figcaption>From above: median over the height.'
        f"</figcaption></figure><figure>{side}<figcaption>From the side: median over the depth."
        "</figcaption></figure></div>"
    )


def _volume_grid(evidence: Evidence) -> F64:
    """Positions over the box that holds the boards, upright, shape (GRID^3, 3)."""
    upright = up_axes(evidence.rig)
    corners = evidence.board_corners_world().reshape(-1, 3) @ upright.T
    low, high = np.quantile(corners, [0.02, 0.98], axis=0)
    axes = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ upright
