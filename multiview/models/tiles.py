"""Search for small hands: the palm network on overlapping tiles, down to its own resolution.

The palm network sees the whole picture at 192 px and finds hands of about 36 px there: a fifth of
the picture's longer side (``experiments/08-photos``). Tiles of half that side, a quarter, and so
on down to 192 px look for those of half the size, a quarter, and so on. Each level is asked for its
own octave of sizes only: larger palms are the level's above, and a palm cut by a tile's border lies
whole in the next tile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.models._crops import blob, letterbox, overlap, sample
from multiview.models.base import U8
from multiview.models.mediapipe_palm import INPUT_SIZE, OUTPUTS, decode, palm_to_roi, suppress
from multiview.models.runtime import Network, run_each

__all__ = ["find_small_palms", "not_parts", "tiles"]

# Share of a tile that its neighbours cover too: more than the largest palm that a level is asked
# for, so that each lies whole in one tile.
OVERLAP = 0.4
# Longer side of a palm's box that is left to the level above, in sides of the tile: a hand of twice
# the 36 px that are needed is 0.38 of the tile, and its palm's box at most as long.
LARGEST = 0.38


# Two found hands are one if their boxes overlap by more than this; and a hand is a part of another
# (a finger of it, seen as a hand) if it is smaller than this share and its middle lies in the
# other's box. Hands of two people who touch are rarely that unlike.
SAME_HAND, PART = 0.5, 0.75


def tiles(width: int, height: int) -> list[F64]:
    """Levels of square tiles (M, 4), as rois: the whole picture first.

    Parameters
    ----------
    width, height
        Of the picture [px].

    Returns
    -------
    list
        One array a level: centre x, centre y, side [px], rotation (0).
    """
    levels = [letterbox(width, height)[None]]
    side = max(width, height) / 2
    while side >= INPUT_SIZE / np.sqrt(2):  # half an octave on, tiles show what the picture has
        actual = max(side, INPUT_SIZE)
        x, y = (_along(length, actual) for length in (width, height))
        centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        rest = np.tile([actual, 0.0], (len(centres), 1))
        levels.append(np.hstack([centres, rest]))
        side /= 2
    return levels


def _along(length: int, side: float) -> F64:
    """Centres of tiles along an axis, evenly, from border to border; one if it is shorter."""
    if length <= side:
        return np.array([length / 2])
    count = int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1
    return np.linspace(side / 2, length - side / 2, count)


def find_small_palms(net: Network, image: U8, most: int, min_score: float) -> F64:
    """Crops of the hands of a BGR image, of any size, (N, 4), N <= most, best palm first.

    Parameters
    ----------
    net
        The palm network.
    image
        BGR picture.
    most
        Crops wanted at most.
    min_score
        Palms scored lower are not looked at.
    """
    height, width = image.shape[:2]
    scores, palms = [], []
    for number, level in enumerate(tiles(width, height)):
        inputs = (blob(sample(image, roi, INPUT_SIZE, 0)) for roi in level)
        for roi, found in zip(level, run_each(net, inputs), strict=True):
            raw, logits = (np.asarray(found[name], np.float64) for name in OUTPUTS)
            score, palm = decode(raw.reshape(-1, 18), logits.reshape(-1), min_score)
            if number:
                keep = _whole(palm, roi, (width, height)) & (_side(palm) <= LARGEST)
                score, palm = score[keep], palm[keep]
            scores.append(score)
            palms.append((palm - 0.5) * roi[2] + roi[:2])
    _, merged = suppress(np.concatenate(scores), np.concatenate(palms))
    return np.array([palm_to_roi(palm) for palm in merged[:most]]).reshape(-1, 4)


def not_parts(xy_px: F64) -> NDArray[np.int64]:
    """Rows of found hands (N, K, 2), largest first, that are neither the same nor parts of others.

    Parameters
    ----------
    xy_px
        Keypoints [px].

    Returns
    -------
    ndarray
        Rows to keep, ascending.
    """
    boxes = np.concatenate([xy_px.min(axis=1), xy_px.max(axis=1)], axis=1)
    size, middle = (boxes[:, 2:] - boxes[:, :2]).max(axis=1), (boxes[:, :2] + boxes[:, 2:]) / 2
    kept: list[int] = []
    for row in np.argsort(-size, kind="stable").tolist():
        others = boxes[kept]
        within = ((middle[row] >= others[:, :2]) & (middle[row] <= others[:, 2:])).all(axis=1)
        part = within & (size[row] < PART * size[kept])
        if not (part | (overlap(boxes[row], others) > SAME_HAND)).any():
            kept.append(row)
    return np.array(sorted(kept), np.int64)


def _side(palms: F64) -> F64:
    """Longer side of the boxes of palms (N, 9, 2), in sides of the tile."""
    return np.asarray((palms[:, 1] - palms[:, 0]).max(axis=-1))


def _whole(palms: F64, roi: F64, size_wh: tuple[int, int]) -> np.ndarray:
    """Whether boxes do not reach over a border of the tile that is none of the picture."""
    low, high = (palms[:, n] * roi[2] + (roi[:2] - roi[2] / 2) for n in (0, 1))
    start, end = roi[:2] - roi[2] / 2, roi[:2] + roi[2] / 2
    inner = (low >= start) | (start <= 0), (high <= end) | (end >= np.array(size_wh))
    return np.asarray(inner[0].all(axis=-1) & inner[1].all(axis=-1))
