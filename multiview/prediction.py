"""Where hands are likely to be: whole hands from partly known 3D, and across short gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, present
from multiview.association import palm_keypoints
from multiview.core import Points3D, Rig
from multiview.geometry.align import estimate_alignment

__all__ = ["box_side", "missed_hands", "predict_hands", "within_picture"]

# The rigid palm is known from its first keypoint (the wrist) and two more (finger bases).
PALM_KNOWN = 3
# Smaller hands are not looked for: below 22 px the vote's tolerance (4.5 % of the hand) is finer
# than one pixel. Share of the keypoints that must project into the picture.
MIN_PX, MIN_INSIDE = 22.0, 0.5


def predict_hands(points: Points3D, max_step: float = 1.0) -> F64:
    """Whole hands to look for: known 3D, completed, and bridged over gaps of one frame set.

    Missing keypoints are those of the same hand at the nearest time it was whole, moved rigidly
    with the palm: good enough for a crop, and never used for anything else.

    Parameters
    ----------
    points
        Triangulated keypoints.
    max_step
        As in `GuideConfig`.

    Returns
    -------
    F64
        Shape (F, H, K, 3); NaN where less than the palm's first keypoint and two others are known.
        Other keypoints are missing only if the hand was never whole.
    """
    palm = palm_keypoints(points.skeleton.groups)
    out = np.array(points.xyz_world)
    for h in range(out.shape[1]):
        out[:, h] = _bridged(_completed(out[:, h], palm), palm, points.frame_ids, max_step)
    return out


def _completed(xyz: F64, palm: list[int]) -> F64:
    """Fill partly known hands (F, K, 3) from the nearest whole one; clear those without a palm."""
    known = present(xyz)
    whole = np.flatnonzero(known.all(-1))
    enough = known[:, palm[0]] & (known[:, palm].sum(-1) >= min(PALM_KNOWN, len(palm)))
    out = np.where(enough[:, None, None], xyz, np.nan)
    for f in np.flatnonzero(enough & ~known.all(-1)) if whole.size else ():
        donor = xyz[whole[np.abs(whole - f).argmin()]]
        _, R, t = estimate_alignment(donor[palm], xyz[f, palm])
        out[f] = np.where(known[f, :, None], xyz[f], donor @ R.T + t)
    return out


def _bridged(xyz: F64, palm: list[int], ids: NDArray[np.int64], max_step: float) -> F64:
    """Put a hand half way into gaps of one frame set, if it did not move too far."""
    out = xyz.copy()
    if len(xyz) < 3 or not max_step:
        return out
    before, after = xyz[:-2], xyz[2:]
    reach = np.linalg.norm(before[:, palm] - before[:, palm[:1]], axis=-1)
    step = np.linalg.norm(after[:, palm] - before[:, palm], axis=-1) / 2
    seen = np.isfinite(reach) & np.isfinite(step)
    size = np.where(seen, reach, 0).max(-1)
    far = np.where(seen, step, 0).sum(-1) / np.maximum(seen.sum(-1), 1)
    gap = np.isnan(xyz[1:-1]).all((-1, -2)) & (ids[2:] - ids[:-2] == 2)
    gap &= (seen.sum(-1) >= min(PALM_KNOWN, len(palm))) & (far <= max_step * size)
    out[1:-1] = np.where(gap[:, None, None], (before + after) / 2, xyz[1:-1])
    return out


def box_side(xy: F64) -> F64:
    """Longer side of the box around keypoints (..., K, 2), pixels; 0 without any."""
    seen = np.isfinite(xy)
    side = np.where(seen, xy, -np.inf).max(-2) - np.where(seen, xy, np.inf).min(-2)
    return np.asarray(np.maximum(side.max(-1), 0.0))


def within_picture(
    xy_px: F64,
    sizes_wh: tuple[tuple[int, int], ...],
    min_inside: float = MIN_INSIDE,
    min_px: float = MIN_PX,
) -> BoolArray:
    """Say which projected hands are well inside their picture, and large enough to be read.

    Parameters
    ----------
    xy_px
        Shape (V, F, H, K, 2), pixels; NaN where unknown or beyond the lens.
    sizes_wh
        V picture sizes.
    min_inside
        Share of the keypoints that must lie in the picture.
    min_px
        Least side of the hand's box.

    Returns
    -------
    BoolArray
        Shape (V, F, H).
    """
    size = np.array(sizes_wh)[:, None, None, None]
    inside = ((xy_px > -0.5) & (xy_px < size - 0.5)).all(-1).mean(-1)
    visible = (inside >= min_inside) & (inside > 0) & (box_side(xy_px) >= min_px)
    return np.asarray(visible, np.bool_)


def missed_hands(points: Points3D, rig: Rig) -> BoolArray:
    """Hands that 3D puts into a picture in which the detector found nothing.

    They may be hidden: whether there is something to see is for a second look to say
    (`multiview.guided`).

    Parameters
    ----------
    points
        Triangulated hands.
    rig
        What they were made with.

    Returns
    -------
    BoolArray
        Shape (V, F, H).
    """
    rig = rig.select(points.camera_names)
    sizes = tuple(c.intrinsics.size_wh for c in rig.cameras)
    seen = np.isfinite(points.err_px).any(-1)
    xy_px = rig.project(predict_hands(points, max_step=0))
    return np.asarray(within_picture(xy_px, sizes) & ~seen, np.bool_)
