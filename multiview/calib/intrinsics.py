"""The lens of one camera from boards, without a start value from the user."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import Fit, fit_robust, free_parameters, lens_spread
from multiview.calib.pnp import Planes, pose_candidates
from multiview.calib.problem import LENS, Bools, Ints, Sightings, State
from multiview.core import Intrinsics
from multiview.errors import CalibrationError

__all__ = ["estimate_intrinsics", "spread_views"]

# Three boards fix a lens in theory (Zhang, PAMI 2000).
MIN_VIEWS = 3
# More views of one camera cost time and add little; the rig's adjustment uses them all.
MAX_VIEWS = 40
# A focal length known no better than this cannot start a rig; from noise, not from a rule on tilts.
MAX_FOCAL_SPREAD = 0.1
# Focal lengths tried, in picture widths: from 150 to 6 degrees of field.
FOCALS = np.geomspace(0.15, 10, 400)
FILM_TILTED = (
    "film the board close to this camera in 10 or more positions, tilted by 30-45 degrees about "
    "both axes, in the middle and the corners of the picture"
)


def guess_focal(H: F64, size_wh: tuple[int, int]) -> float:
    """Focal length, pixels, at which the boards' axes come out square (Zhang 2000, section 3.1).

    Parameters
    ----------
    H
        Homographies from board to pixels, shape (S, 3, 3).
    size_wh
        Width and height; the principal point is taken in the middle.
    """
    width, height = size_wh
    centred = H.copy()
    centred[:, :2] -= np.array([[(width - 1) / 2], [(height - 1) / 2]]) * H[:, 2:]
    focal = FOCALS * width
    a, b = (
        np.concatenate(
            [
                centred[:, None, :2, k] / focal[:, None],
                np.broadcast_to(centred[:, None, 2:, k], (len(H), focal.size, 1)),
            ],
            -1,
        )
        for k in (0, 1)
    )
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    skew = np.hypot(2 * ab, aa - bb) / (aa + bb)
    # a fronto-parallel board is square at every focal length and does not vote; the mean of
    # absolute values lets wrong boards pull less than squares would
    return float(focal[np.argmin(np.nanmean(skew, axis=0))])


def spread_views(seen: Sightings, H: F64, size_wh: tuple[int, int], count: int = MAX_VIEWS) -> Ints:
    """Pick sightings that differ most in place, size and tilt (farthest-point sampling)."""
    xy = seen.xy_px
    middle, size = np.nanmean(xy, axis=1), np.nanstd(xy, axis=1).mean(-1, keepdims=True)
    extent = np.ptp(seen.xyz_board, axis=0)[:2]
    tilt = 2 * H[:, 2, :2] / H[:, 2, 2:] * extent
    features = np.concatenate([middle / max(size_wh), np.log(size) / 2, tilt], axis=1)
    rank = np.flatnonzero(np.isfinite(features).all(1))
    if len(rank) <= count:
        return rank
    features = features[rank]
    chosen = [int(np.argmax(seen.seen[rank].sum(1) + 1e-3 * size[rank, 0]))]
    distance = np.full(len(rank), np.inf)
    while len(chosen) < count:
        gap = np.linalg.norm(features - features[chosen[-1]], axis=1)
        distance = np.minimum(distance, gap)
        chosen.append(int(np.argmax(distance)))
    return np.asarray(rank[np.sort(chosen)])


def estimate_intrinsics(
    seen: Sightings, planes: Planes, size_wh: tuple[int, int], name: str, *, lens: str = "brown"
) -> tuple[Intrinsics, float]:
    """Estimate the lens of one camera.

    Parameters
    ----------
    seen, planes
        Sightings of this camera alone, and their homographies.
    size_wh
        Width and height of its pictures, pixels.
    name
        For messages.
    lens
        ``"brown"`` (k1 k2 p1 p2), ``"brown_k3"`` or ``"fisheye"``.

    Returns
    -------
    tuple
        The lens, and its corner noise in pixels.

    Raises
    ------
    CalibrationError
        With fewer than three boards, or when they leave the focal length open.
    """
    keep = spread_views(seen, planes.H, size_wh)
    if len(keep) < MIN_VIEWS:
        raise CalibrationError(
            f"camera {name} sees the board in {len(keep)} frames; its lens needs {MIN_VIEWS}",
            FILM_TILTED,
        )
    seen, planes = seen.take(keep), planes.take(keep)
    one = Sightings(
        view=np.zeros(len(keep), np.int64),
        board=np.arange(len(keep)),
        xy_px=seen.xy_px,
        xyz_board=seen.xyz_board,
    )
    fit, free = _fit_lens(one, planes, size_wh, lens)
    spread = lens_spread(fit, one, free)[0]
    return _checked(fit, spread, name)


def _fit_lens(
    one: Sightings, planes: Planes, size_wh: tuple[int, int], lens: str
) -> tuple[Fit, Bools]:
    focal = guess_focal(planes.H, size_wh)
    start = Intrinsics(
        K=np.array([[focal, 0, (size_wh[0] - 1) / 2], [0, focal, (size_wh[1] - 1) / 2], [0, 0, 1]]),
        dist=np.zeros(4 if lens == "fisheye" else LENS - 4),
        size_wh=size_wh,
        model="fisheye" if lens == "fisheye" else "brown",
    )
    poses = pose_candidates(one, planes, (start,), np.ones(1))
    posed = np.isfinite(poses.cost[:, 0])
    state = State(
        lenses=(start,),
        cam_R=np.eye(3)[None],
        cam_t=np.zeros((1, 3)),
        board_R=np.where(posed[:, None, None], poses.R[:, 0], np.eye(3)),
        board_t=np.where(posed[:, None], poses.t[:, 0], [0.0, 0, 1]),
    )
    free = free_parameters(1, lenses=np.ones(1, bool), k3=lens == "brown_k3")
    return fit_robust(state, one, free), free


def _checked(fit: Fit, spread: F64, name: str) -> tuple[Intrinsics, float]:
    lens = fit.state.lenses[0]
    doubt = float(spread[0] / lens.K[0, 0])
    if not doubt < MAX_FOCAL_SPREAD:
        much = f"{doubt:.0%}" if doubt < 1 else "100 % or more"
        raise CalibrationError(
            f"camera {name}: its {len(fit.inlier)} boards leave the focal length open (+- {much}): "
            "they are all seen nearly face-on, too alike or too small",
            FILM_TILTED,
        )
    return lens, float(fit.sigma_px[0])
