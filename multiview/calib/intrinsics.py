"""The lens of one camera from boards, without a start value from the user."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from multiview._shapes import F64
from multiview.calib.bundle import Fit
from multiview.calib.layout import LensModel
from multiview.calib.lens_choice import LensTrial, choose_lens, fit_lens
from multiview.calib.pnp import Planes, pose_candidates
from multiview.calib.problem import Ints, Sightings, State
from multiview.calib.uncertainty import lens_spread
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
    extent = np.ptp(seen.targets.xyz, axis=1)[seen.target, :2]
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
    seen: Sightings,
    planes: Planes,
    size_wh: tuple[int, int],
    name: str,
    *,
    lens: LensModel | Literal["auto"] = "auto",
) -> tuple[Intrinsics, float, tuple[LensTrial, ...]]:
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
        Model; ``"auto"`` chooses by cross-validation (`multiview.calib.lens_choice`).

    Returns
    -------
    tuple
        The lens, its corner noise in pixels, and the models tried, the chosen one first.

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
    one = replace(seen, view=np.zeros(len(keep), np.int64), board=np.arange(len(keep)))
    state = _start(one, planes, size_wh)
    if lens == "auto":
        trials = choose_lens(state, one)
    else:
        fit = fit_lens(state, one, lens)
        trials = (LensTrial(model=lens, fit=fit, heldout_px=float("nan")),)
    return *_checked(trials[0].fit, one, name), trials


def _start(one: Sightings, planes: Planes, size_wh: tuple[int, int]) -> State:
    """Boards posed with a lens without distortion."""
    focal = guess_focal(planes.H, size_wh)
    start = Intrinsics(
        K=np.array([[focal, 0, (size_wh[0] - 1) / 2], [0, focal, (size_wh[1] - 1) / 2], [0, 0, 1]]),
        dist=np.zeros(5),
        size_wh=size_wh,
    )
    poses = pose_candidates(one, planes, (start,), np.ones(1))
    posed = np.isfinite(poses.cost[:, 0])
    R = np.where(posed[:, None, None], poses.R[:, 0], np.eye(3))
    t = np.where(posed[:, None], poses.t[:, 0], [0.0, 0, 1])
    camera = np.eye(3)[None], np.zeros((1, 3))
    return State.start((start,), camera, (R, t), len(one.targets.count))


def _checked(fit: Fit, one: Sightings, name: str) -> tuple[Intrinsics, float]:
    lens = fit.state.lenses[0]
    doubt = float(lens_spread(fit, one)[0, 0] / lens.K[0, 0])
    if not doubt < MAX_FOCAL_SPREAD:
        much = f"{doubt:.0%}" if doubt < 1 else "100 % or more"
        raise CalibrationError(
            f"camera {name}: its {len(fit.inlier)} boards leave the focal length open (+- {much}): "
            "they are all seen nearly face-on, too alike or too small",
            FILM_TILTED,
        )
    return lens, float(fit.sigma_px[0])
