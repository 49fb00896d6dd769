"""Hands on single pictures: numbered keypoints, captions, probability maps, contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, present
from multiview.core import Skeleton
from multiview.models.base import ImageHands
from multiview.viz.overlay import FONT, Layer, caption, contact_sheet, crop_square, draw_hand

__all__ = ["draw_frame", "draw_map", "draw_photo", "photo_sheets", "photo_tile"]

Image = NDArray[np.uint8]
# Keypoints more likely wrong than right are rings.
SURE = 0.5
# Longer side of a hand [px] at which 21 numbers are legible; smaller hands are enlarged beside it.
LEGIBLE_PX = 250
PANEL = 360
TILE = 240
TILES_A_SHEET = 60
# Height of a letter [px], and the font scale of OpenCV that gives about 22 px at 1.
LETTER_PX, FONT_PX = 9, 22
INK = (32, 32, 32)
MAP_OPACITY = 0.75


def draw_frame(
    image: Image,
    hands: ImageHands,
    skeleton: Skeleton,
    ids: Sequence[int] | None = None,
    *,
    numbers: bool = True,
) -> None:
    """Draw all hands of one picture in place.

    Parameters
    ----------
    image
        BGR, changed.
    hands
        From a detector.
    skeleton
        Bones and colours.
    ids
        Track numbers, one a hand.
    numbers
        Number the keypoints of hands that are large enough to read them.
    """
    for row, xy in enumerate(hands.xy_px):
        if present(xy).any():
            text = hand_text(hands, row, ids)
            large = _size(xy) >= LEGIBLE_PX
            _draw(image, xy, hands.conf[row], skeleton, numbers=numbers and large)
            _caption_hand(image, xy, text)


def draw_photo(
    image: Image, hands: ImageHands, skeleton: Skeleton, ids: Sequence[int] | None = None
) -> Image:
    """Draw the hands of a photo, with those too small for numbers enlarged beside it.

    Parameters
    ----------
    image
        BGR, left as it is.
    hands, skeleton, ids
        As in `draw_frame`.

    Returns
    -------
    ndarray
        The picture, wider by a column of panels if there is a small hand.
    """
    picture = image.copy()
    draw_frame(picture, hands, skeleton, ids)
    panels = []
    for row, xy in enumerate(hands.xy_px):
        if present(xy).any() and _size(xy) < LEGIBLE_PX:
            panel, affine = crop_square(image, xy, PANEL, margin=1.35)
            moved = np.asarray(xy @ affine[:, :2].T + affine[:, 2])
            _draw(panel, moved, hands.conf[row], skeleton, numbers=True)
            caption(panel, hand_text(hands, row, ids))
            panels.append([panel])
    return _beside(picture, contact_sheet(panels)) if panels else picture


def hand_text(hands: ImageHands, row: int, ids: Sequence[int] | None = None) -> str:
    """Side and presence of a hand in words: ``#3 right 98 % (hand 99 %)``."""
    right = float(hands.handedness[row])
    side = "left" if right < 0.5 else "right"
    sure = "side unknown" if right != right else f"{side} {max(right, 1 - right):.0%}"
    number = "" if ids is None else f"#{ids[row]} "
    return f"{number}{sure} (hand {hands.presence[row]:.0%})".replace("%", " %")


def draw_map(image: Image, roi: F64, probability: NDArray[np.floating], text: str = "") -> None:
    """Lay the probability map of one keypoint over a picture, in place.

    Parameters
    ----------
    image
        BGR, changed.
    roi
        Crop that the map covers edge to edge: centre x, centre y, side [px], rotation [rad].
    probability
        Shape (h, w), at least 0; coloured up to its own peak.
    text
        Written at the top left.
    """
    peak = float(probability.max())
    if peak > 0 and np.isfinite(roi).all():
        height, width = image.shape[:2]
        relative = (np.clip(probability, 0, None) / peak).astype(np.float32)
        affine = _image_from_map(roi, probability.shape)
        spread = cv2.warpAffine(relative, affine, (width, height), flags=cv2.INTER_LINEAR)
        colors = cv2.applyColorMap(np.rint(spread * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        opacity = MAP_OPACITY * np.sqrt(np.clip(spread, 0, 1))[..., None]
        image[...] = np.rint(image + (colors.astype(np.float32) - image) * opacity)
    caption(image, text)


def photo_tile(image: Image, hands: ImageHands, skeleton: Skeleton, name: str) -> Image:
    """Whole picture in a square of 240 px with its hands, for `photo_sheets`."""
    height, width = image.shape[:2]
    scale = min(1.0, TILE / max(height, width)) if max(height, width) > TILE else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE, TILE, 3), INK, np.uint8)
    x, y = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    tile[y : y + size[1], x : x + size[0]] = small
    # pixel centres: the first pixel's is at 0, so half a pixel is left out and put back
    for xy, conf in zip(hands.xy_px, hands.conf, strict=True):
        _draw(tile, (xy + 0.5) * scale - 0.5 + [x, y], conf, skeleton, numbers=False)
    caption(tile, _shortened(name, 30), 0.4)
    if not len(hands):
        cv2.putText(tile, "no hand", (6, TILE - 8), FONT, 0.4, (90, 90, 255), 1, cv2.LINE_AA)
    return tile


def photo_sheets(tiles: Iterable[Image]) -> Iterator[Image]:
    """Arrange tiles into contact sheets of at most 60; memory holds one sheet."""
    batch: list[Image] = []
    for tile in tiles:
        batch.append(tile)
        if len(batch) == TILES_A_SHEET:
            yield _grid(batch)
            batch = []
    if batch:
        yield _grid(batch)


def _grid(tiles: list[Image]) -> Image:
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return contact_sheet(rows)


def _draw(image: Image, xy: F64, conf: F64, skeleton: Skeleton, *, numbers: bool) -> None:
    # widths are for hands of 200 px; very small ones would vanish under their own discs
    scale = float(np.clip(_size(xy) / 200, 0.4, 4.0))
    draw_hand(image, xy, skeleton, Layer.SOLID, scale, np.asarray(conf < SURE, np.bool_))
    if numbers:
        _number(image, xy, skeleton, scale)


def _number(image: Image, xy: F64, skeleton: Skeleton, scale: float) -> None:
    """Write each keypoint's number beside its bone, in the finger's colour."""
    font = max(LETTER_PX, LETTER_PX * 0.75 * scale) / FONT_PX
    parents = {b: a for a, b in skeleton.edges}
    for k in np.flatnonzero(present(xy)).tolist():
        parent = parents.get(k)
        # the same side of every bone, so that neighbours' numbers do not meet; roots: below
        along = xy[k] - xy[parent] if parent is not None else np.array([1.0, 0.0])
        aside = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
        text = str(k)
        (width, height), _ = cv2.getTextSize(text, FONT, font, 1)
        centre = xy[k] + aside * (3.5 * scale + 0.75 * max(width, height))
        at = np.round(centre + np.array([-width / 2, height / 2])).astype(int)
        if np.abs(at).max() > 1e5:
            continue
        r, g, b = (round(128 + c / 2) for c in skeleton.colors[k])
        _outlined(image, text, (int(at[0]), int(at[1])), font, (b, g, r))


def _caption_hand(image: Image, xy: F64, text: str) -> None:
    """Write a line above the hand, or below it; none in a picture too narrow for it."""
    height, width = image.shape[:2]
    font = float(np.clip(max(width, height) / 1600, 0.4, 1.5))
    (wide, tall), _ = cv2.getTextSize(text, FONT, font, 1)
    if wide + 8 > width:
        return
    low, high = np.nanmin(xy, axis=0), np.nanmax(xy, axis=0)
    x = int(np.clip((low[0] + high[0] - wide) / 2, 4, max(4, width - wide - 4)))
    above = low[1] - tall
    y = above if above > tall + 4 else high[1] + 2.2 * tall
    _outlined(image, text, (x, int(np.clip(y, tall + 4, height - 6))), font, (255, 255, 255))


def _outlined(
    image: Image, text: str, at: tuple[int, int], font: float, color: tuple[int, int, int]
) -> None:
    # same thickness for the outline: OpenCV 5's letters get wider with it
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
        cv2.putText(image, text, (at[0] + dx, at[1] + dy), FONT, font, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(image, text, at, FONT, font, color, 1, cv2.LINE_AA)


def _beside(picture: Image, column: Image) -> Image:
    """Put a column to the right of a picture, filling up the shorter of both."""
    height = max(picture.shape[0], column.shape[0])
    parts = [
        np.concatenate([p, np.full((height - p.shape[0], p.shape[1], 3), INK, np.uint8)])
        for p in (picture, column)
    ]
    return np.concatenate(parts, axis=1)


def _image_from_map(roi: F64, shape: tuple[int, ...]) -> F64:
    """2 x 3 matrix from map pixels (their centres) to image pixels."""
    cos, sin = np.cos(roi[3]), np.sin(roi[3])
    turn = np.array([[cos, -sin], [sin, cos]]) * roi[2]
    per_pixel = turn / [shape[1], shape[0]]
    first = roi[:2] + per_pixel @ [0.5, 0.5] - turn @ [0.5, 0.5]
    return np.column_stack([per_pixel, first])


def _size(xy: F64) -> float:
    known = xy[present(xy)]
    return float(np.ptp(known, axis=0).max()) if len(known) else 0.0


def _shortened(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 9]}..{name[-7:]}"
