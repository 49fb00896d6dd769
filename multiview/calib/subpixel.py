"""Corners to a few hundredths of a pixel: two crossing edges are fitted to the grey levels.

Around a corner of a board the brightness is ``a + b (k + E(u)) (k + E(v))``: two straight edges,
each blurred to an error function ``E`` of the distance from it by a width of its own (pixel,
defocus, motion). With ``k = 0`` they cross (a corner where four squares meet), with ``k = 1`` they
end in each other (the corner of a marker on white). All eight numbers are least squares, so that a
corner comes with the standard deviation that the noise of its own pixels explains, and with its
blur: both tell a corner to be trusted from one that is smeared, covered or none at all.

The idea of a parametric corner fit: Deriche and Giraudon, IJCV 10 (1993); of the saddle: Lucchese
and Mitra, APCCAS 2002. Steps are Levenberg's and Marquardt's, for all corners of a picture at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from multiview._shapes import F64, BoolArray

__all__ = ["CornerFit", "Window", "fit_corners"]

Image = NDArray[np.uint8]
F32 = NDArray[np.float32]

# Half a side of the largest window, pixels: more adds noise of its own (a bent or shaded edge).
WINDOW_PX = (3, 9)
# Pictures are smoothed first: where a camera sharpens, an edge is a single step between two pixels
# with a halo, and its place is told by their sum, not by a slope that is not there.
SMOOTH_PX = 0.7
# Width of an edge to start from, pixels, and the least; twice the window is no edge any more.
START_BLUR_PX, LEAST_BLUR_PX = 1.0, 0.5
ROUNDS, STEPS = 2, 5
# All corners of the picture moved less than this in a step: done.
STILL_PX = 0.003
# A corner that still moves by more at the end has not been found.
STOPPED_PX = 0.05
# Unknowns: x, y, two directions, two widths (logarithms), brightness, contrast.
UNKNOWNS = 8
ROOT_HALF = np.float32(np.sqrt(0.5))
# Pixels of its window that a corner must have in the picture.
SEEN_SHARE = 0.6
# Root mean square misfit as a share of the contrast: beyond, the pixels show something else. A
# clean corner has 0.02 to 0.05; a finger across half of an edge 0.3.
MISFIT = 0.2
# An edge blurred over more than this share of its window leaves the corner to the model alone.
BLUR_SHARE = 0.5
# Worse than this the corner tells less than the prediction from its neighbours.
WORST_STD_PX = 0.5
# Two edges at less than 15 degrees to each other fix no corner.
LEAST_SINE = 0.26


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which pixels around a corner show its two edges and nothing else, in units of the board.

    Parameters
    ----------
    reach
        Length of the edges from the corner, metres.
    depth
        Distance from an edge to what lies beside it (a marker's bits), metres.
    plain
        Corners, shape (N,), two of whose quarters have nothing beside the edges: 1 where x and y
        have the same sign, -1 where they differ, 0 none.
    ends
        Whether the edges end in each other (``k = 1``) instead of crossing.
    """

    reach: float
    depth: float
    plain: F64 | None = None
    ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CornerFit:
    """Fitted corners of a picture.

    Parameters
    ----------
    xy_px
        Shape (N, 2).
    std_px
        Standard deviation per coordinate that the misfit of the pixels suggests, shape (N,); too
        large rather than too small where motion or a sharpening camera bends the edge's profile.
    blur_px
        Width (standard deviation) of the two edges, shape (N, 2).
    contrast
        Brightness of the bright less the dark side, grey levels; its sign tells which quarters are
        bright. Shape (N,).
    keep
        Where there is such a corner, shape (N,).
    """

    xy_px: F64
    std_px: F64
    blur_px: F64
    contrast: F64
    keep: BoolArray


def fit_corners(grey: Image, xy_px: F64, axes: F64, window: Window) -> CornerFit:
    """Fit the crossing of two edges near each of N predicted corners.

    Parameters
    ----------
    grey
        Shape (h, w).
    xy_px
        Predicted corners, shape (N, 2), pixels; NaN is passed over.
    axes
        Derivative of the pixels by the board's x and y there, shape (N, 2, 2), pixels a metre:
        column 0 is where the board's x axis points.
    window
        What surrounds a corner on this board.
    """
    n = len(xy_px)
    height, width = grey.shape
    inside = (xy_px > -0.5) & (xy_px < [width - 0.5, height - 0.5])
    stretch = np.linalg.svd(np.nan_to_num(axes), compute_uv=False)[:, 1]
    sine = np.abs(_cross(axes)) / np.maximum(np.linalg.norm(axes, axis=1).prod(1), 1e-12)
    possible = inside.all(1) & (stretch * window.reach > 1) & (sine > LEAST_SINE)
    fit = CornerFit(
        xy_px=np.full((n, 2), np.nan),
        std_px=np.full(n, np.nan),
        blur_px=np.full((n, 2), np.nan),
        contrast=np.zeros(n),
        keep=np.zeros(n, np.bool_),
    )
    index = np.flatnonzero(possible)
    if index.size:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), SMOOTH_PX), np.uint8)
        part = window if window.plain is None else replace(window, plain=window.plain[index])
        _fit(grey, xy_px[index], axes[index], part, fit, index)
    return fit


def _cross(axes: F64) -> F64:
    return np.asarray(axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 1, 0] * axes[:, 0, 1])


def _fit(
    grey: Image, start: F64, axes: F64, window: Window, fit: CornerFit, index: NDArray[np.int64]
) -> None:
    """Fit all corners of a picture; the results are written into ``fit``."""
    scale = np.linalg.norm(axes, axis=1).max() * window.reach
    half = int(np.clip(np.ceil(scale), *WINDOW_PX))
    normal_x = _normal(axes[:, :, 1], axes[:, :, 0])
    normal_y = _normal(axes[:, :, 0], axes[:, :, 1])
    p = np.zeros((len(start), UNKNOWNS))
    p[:, :2] = start
    p[:, 2] = np.arctan2(normal_x[:, 1], normal_x[:, 0])
    p[:, 3] = np.arctan2(normal_y[:, 1], normal_y[:, 0])
    p[:, 4:6] = np.log(START_BLUR_PX)
    k = 1.0 if window.ends else 0.0
    for _ in range(ROUNDS):  # the pixels are chosen anew around the better corner
        xy, value, weight = _pixels(grey, p[:, :2], axes, window, half)
        p, cost, normal, still = _least_squares(p, xy, value, weight, k)
    count = weight.sum(1)
    whole = (2 * np.minimum(half, scale) + 1) ** 2
    least = SEEN_SHARE * _full_count(axes, window, half)
    variance = cost / np.maximum(count - UNKNOWNS, 1)
    spread = np.linalg.pinv(normal + 1e-9 * np.eye(UNKNOWNS))[:, [0, 1], [0, 1]].mean(1)
    contrast = p[:, 7] * (2 if k == 0 else 4)
    blur = np.exp(p[:, 4:6])
    sine = np.abs(np.sin(p[:, 2] - p[:, 3]))
    reach_px = np.minimum(half, np.linalg.norm(axes, axis=1).min(1) * window.reach)
    fit.xy_px[index] = p[:, :2]
    fit.std_px[index] = np.sqrt(np.maximum(variance * spread, 0))
    fit.blur_px[index] = np.sqrt(np.maximum(blur**2 - SMOOTH_PX**2, 0))
    fit.contrast[index] = contrast
    fit.keep[index] = (
        still
        & (count >= np.minimum(least, whole))
        & (count > 2 * UNKNOWNS)
        & (np.sqrt(variance) < MISFIT * np.abs(contrast))
        & (blur.max(1) < np.maximum(BLUR_SHARE * reach_px, 1.0))
        & (fit.std_px[index] < WORST_STD_PX)
        & (sine > LEAST_SINE)
    )


def _normal(along: F64, towards: F64) -> F64:
    """Return unit normals of edges, pointing to the side of ``towards``; shapes (N, 2)."""
    normal = np.stack([-along[:, 1], along[:, 0]], -1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.sign((normal * towards).sum(1, keepdims=True))
    return np.asarray(normal * np.where(side == 0, 1.0, side))


def _on_board(offset: F64, axes: F64, window: Window) -> BoolArray:
    """Which offsets from corners, (N, P, 2) pixels, lie near one of the two edges."""
    q = offset @ np.linalg.inv(axes).transpose(0, 2, 1)
    near = np.abs(q).min(-1) < window.depth
    if window.plain is not None:
        near |= np.sign(q.prod(-1)) == window.plain[:, None]
    if window.ends:  # beyond its rim a marker may lie on anything
        near &= q.min(-1) > -window.depth
    return np.asarray((np.abs(q).max(-1) < window.reach) & near)


def _square(half: int) -> F64:
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return np.stack([x.ravel(), y.ravel()], -1).astype(np.float64)


def _full_count(axes: F64, window: Window, half: int) -> F64:
    """Pixels that a corner far from the picture's border would have, shape (N,)."""
    offset = np.broadcast_to(_square(half), (len(axes), (2 * half + 1) ** 2, 2))
    return np.asarray(_on_board(offset, axes, window).sum(1), np.float64)


def _pixels(grey: Image, xy_px: F64, axes: F64, window: Window, half: int) -> tuple[F64, F32, F32]:
    """Pixels around corners: places (N, P, 2), grey levels (N, P), weights 0 or 1 (N, P)."""
    height, width = grey.shape
    at = np.rint(np.clip(xy_px, -half, [width + half, height + half]))
    xy = at[:, None] + _square(half)
    column, row = np.moveaxis(xy.astype(np.intp), -1, 0)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    near = inside & _on_board(xy - xy_px[:, None], axes, window)
    # most of a window may be masked: pack what is left to the front
    most = int(near.sum(1).max(initial=1))
    order = np.argsort(~near, axis=1, kind="stable")[:, :most]
    rows = np.arange(len(xy))[:, None]
    column, row, weight = column[rows, order], row[rows, order], near[rows, order]
    value = grey[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.float32)
    return np.stack([column, row], -1).astype(np.float64), value, weight.astype(np.float32)


def _least_squares(
    p: F64, xy: F64, value: F32, weight: F32, k: float
) -> tuple[F64, F64, F64, BoolArray]:
    """Unknowns (N, 8), cost (N,), normal matrices (N, 8, 8), converged (N,)."""
    p = p.copy()
    damping = np.full(len(p), 1e-3)
    p[:, 6:] = _levels(p, xy, value, weight, k)
    r, J = _model(p, xy, value, weight, k)
    cost = (r * r).sum(1)
    for _ in range(STEPS):
        normal = (J.transpose(0, 2, 1) @ J).astype(np.float64)
        gradient = (J.transpose(0, 2, 1) @ r[..., None])[..., 0].astype(np.float64)
        diagonal = np.einsum("nii->ni", normal)
        scaled = normal + np.einsum("ni,ij->nij", damping[:, None] * diagonal + 1e-9, np.eye(8))
        step = np.linalg.solve(scaled, gradient[..., None])[..., 0]
        tried = p - step
        tried[:, 4:6] = np.clip(tried[:, 4:6], np.log(LEAST_BLUR_PX), np.log(2 * WINDOW_PX[1]))
        r_new, J_new = _model(tried, xy, value, weight, k)
        cost_new = (r_new * r_new).sum(1)
        better = cost_new < cost
        p = np.where(better[:, None], tried, p)
        r = np.where(better[:, None], r_new, r)
        J = np.where(better[:, None, None], J_new, J)
        cost = np.where(better, cost_new, cost)
        damping = np.where(better, damping * 0.2, damping * 10)
        if np.abs(step[:, :2]).max(initial=0) < STILL_PX:
            break
    still = np.abs(step[:, :2]).max(1) < STOPPED_PX
    return p, cost.astype(np.float64), (J.transpose(0, 2, 1) @ J).astype(np.float64), still


def _edges(p: F64, xy: F64) -> tuple[F32, F32, F32, F32]:
    """Distances from the two edges in their widths (N, P), and the derivatives by direction."""
    dx, dy = np.moveaxis((xy - p[:, None, :2]).astype(np.float32), -1, 0)
    angle = p[:, None, 2:6].astype(np.float32)
    cos, sin, width = np.cos(angle[..., :2]), np.sin(angle[..., :2]), np.exp(angle[..., 2:])
    u = (cos[..., 0] * dx + sin[..., 0] * dy) / width[..., 0]
    v = (cos[..., 1] * dx + sin[..., 1] * dy) / width[..., 1]
    turn_u = (cos[..., 0] * dy - sin[..., 0] * dx) / width[..., 0]
    turn_v = (cos[..., 1] * dy - sin[..., 1] * dx) / width[..., 1]
    return u, v, turn_u, turn_v


def _levels(p: F64, xy: F64, value: F32, weight: F32, k: float) -> F64:
    """Brightness and contrast that suit the pixels, shape (N, 2): linear in both."""
    u, v, *_ = _edges(p, xy)
    g = (k + erf(u * ROOT_HALF)) * (k + erf(v * ROOT_HALF))
    n = np.maximum(weight.sum(1), 1)
    mean_g, mean_i = (weight * g).sum(1) / n, (weight * value).sum(1) / n
    dg = weight * (g - mean_g[:, None])
    b = (dg * value).sum(1) / np.maximum((dg * dg).sum(1), 1e-9)
    return np.stack([mean_i - b * mean_g, b], -1)


def _model(p: F64, xy: F64, value: F32, weight: F32, k: float) -> tuple[F32, F32]:
    """Residuals, model less picture (N, P), and their derivatives (N, P, 8)."""
    u, v, turn_u, turn_v = _edges(p, xy)
    q = p.astype(np.float32)
    eu, ev = k + erf(u * ROOT_HALF), k + erf(v * ROOT_HALF)
    b = q[:, 7:8]
    peak = np.float32(np.sqrt(2 / np.pi))
    by_u = b * peak * np.exp(-0.5 * u * u) * ev
    by_v = b * peak * np.exp(-0.5 * v * v) * eu
    per_px = np.exp(-q[:, 4:6])
    cos, sin = np.cos(q[:, 2:4]) * per_px, np.sin(q[:, 2:4]) * per_px
    columns = (
        -(by_u * cos[:, :1] + by_v * cos[:, 1:]),
        -(by_u * sin[:, :1] + by_v * sin[:, 1:]),
        by_u * turn_u,
        by_v * turn_v,
        -by_u * u,
        -by_v * v,
        np.ones_like(u),
        eu * ev,
    )
    r = weight * (q[:, 6:7] + b * eu * ev - value)
    return r, np.stack(columns, -1) * weight[..., None]
