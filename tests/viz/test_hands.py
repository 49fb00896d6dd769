"""Drawings of hands: what is drawn where, at every hand size; nothing outside, nothing lost."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.models import ImageHands
from multiview.viz.hands import (
    LEGIBLE_PX,
    PANEL,
    TILE,
    TILES_A_SHEET,
    draw_frame,
    draw_map,
    draw_photo,
    hand_text,
    photo_sheets,
    photo_tile,
)

GREY = 90


def hand(size=300.0, at=(350.0, 250.0)):
    """An open hand, fingers up."""
    xy = [[0.0, 0.5]]
    for finger in range(5):
        angle = np.deg2rad(-150 + 30 * finger)
        way = np.array([np.cos(angle), np.sin(angle)])
        xy += [np.array([0, 0.3]) + way * r for r in (0.3, 0.5, 0.65, 0.8)]
    xy = np.array(xy)
    return (xy - xy.mean(0)) / np.ptp(xy, axis=0).max() * size + at


def hands(*xy, conf=0.9, right=0.98):
    xy = np.array(xy).reshape(-1, 21, 2)
    n = len(xy)
    return ImageHands(
        xy_px=xy,
        conf=np.full((n, 21), conf),
        handedness=np.full(n, right),
        presence=np.full(n, 0.99),
        rois=np.column_stack([np.reshape(xy.mean(1), (-1, 2)), np.full(n, 600.0), np.zeros(n)]),
    )


def blank(width=700, height=500):
    return np.full((height, width, 3), GREY, np.uint8)


def changed(image, background=GREY):
    return (image != background).any(axis=-1)


def test_every_keypoint_has_its_colour_and_a_number():
    image, xy = blank(), hand()
    draw_frame(image, hands(xy), HAND_21)
    for k, (x, y) in enumerate(np.round(xy).astype(int)):
        assert tuple(image[y, x][::-1].tolist()) == HAND_21.colors[k]
    plain = blank()
    draw_frame(plain, hands(xy), HAND_21, numbers=False)
    numbers = (image != plain).any(-1)
    distance = np.linalg.norm(np.argwhere(numbers)[:, None, ::-1] - xy, axis=-1)
    assert distance.min(axis=0).max() < 25  # a number beside each keypoint
    assert distance.min(axis=1).max() < 40  # and nowhere else


def test_unlikely_keypoints_are_hollow():
    image, xy, found = blank(), hand(), hands(hand())
    conf = found.conf.copy()
    conf[0, 8] = 0.2
    draw_frame(image, replace(found, conf=conf), HAND_21, numbers=False)
    tip, other = np.round(xy[8]).astype(int), np.round(xy[12]).astype(int)
    beyond = [2, -2] if xy[8, 0] > xy[7, 0] else [-2, -2]  # beside the end of the thin bone
    assert not changed(image[tip[1] + beyond[1], tip[0] + beyond[0]][None, None]).any()
    assert changed(image[other[1] - 2, other[0]][None, None]).all()


@pytest.mark.parametrize("size", [8, 40, 120, 240])
def test_small_hand_is_enlarged_beside_the_picture(size):
    image = blank()
    drawn = draw_photo(image, hands(hand(size)), HAND_21)
    assert drawn.shape == (500, 700 + PANEL + 8, 3)
    np.testing.assert_array_equal(image, blank())
    panel = drawn[4 : 4 + PANEL, 704 : 704 + PANEL]
    assert changed(panel).mean() > 0.04
    # numbers are white-ish letters of some ten pixels whatever the hand's size
    bright = (panel.min(axis=-1) >= 120).sum()
    assert bright > 200


def test_large_hand_needs_no_panel_and_no_hand_changes_nothing():
    assert draw_photo(blank(), hands(hand(LEGIBLE_PX + 20)), HAND_21).shape == (500, 700, 3)
    np.testing.assert_array_equal(draw_photo(blank(), hands(), HAND_21), blank())


@pytest.mark.parametrize("at", [(0, 0), (700, 500), (-400, 250), (1e7, 250), (350, -1e9)])
def test_hand_outside_the_picture_is_no_error(at):
    draw_photo(blank(), hands(hand(300, at)), HAND_21)
    draw_photo(blank(20, 10), hands(hand(300, at)), HAND_21)


def test_missing_keypoints_are_left_out():
    xy = hand()
    xy[5:9] = np.nan
    image, whole = blank(), blank()
    draw_frame(image, hands(xy), HAND_21)
    draw_frame(whole, hands(hand()), HAND_21)
    assert changed(image).sum() < changed(whole).sum()
    draw_frame(image, hands(np.full((21, 2), np.nan)), HAND_21)


@pytest.mark.parametrize(
    ("right", "ids", "text"),
    [
        (0.98, None, "right 98 % (hand 99 %)"),
        (0.1, [7], "#7 left 90 % (hand 99 %)"),
        (np.nan, [0], "#0 side unknown (hand 99 %)"),
    ],
)
def test_caption(right, ids, text):
    assert hand_text(hands(hand(), right=right), 0, ids) == text


def test_map_peak_lies_where_the_map_says():
    """The map covers the turned crop edge to edge."""
    probability = np.zeros((32, 32))
    probability[4, 24] = 0.3
    image = blank()
    roi = np.array([350.0, 250.0, 320.0, np.pi / 2])
    draw_map(image, roi, probability)
    # (24.5, 4.5) / 32 of the side from the centre, turned by 90 degrees: x' = -y, y' = x
    x, y = 350 - (4.5 / 32 - 0.5) * 320, 250 + (24.5 / 32 - 0.5) * 320
    weight = np.abs(image.astype(float) - GREY).sum(-1)
    found = np.argwhere(weight > 0.9 * weight.max()).mean(0)[::-1]
    np.testing.assert_allclose(found, [x, y], atol=1.0)
    untouched = np.ones(image.shape[:2], bool)
    untouched[round(y) - 15 : round(y) + 16, round(x) - 15 : round(x) + 16] = False
    assert not changed(image)[untouched].any()


def test_empty_map_changes_nothing():
    image = blank()
    draw_map(image, np.array([350.0, 250, 100, 0]), np.zeros((8, 8)))
    draw_map(image, np.full(4, np.nan), np.ones((8, 8)))
    np.testing.assert_array_equal(image, blank())


def test_tile_shows_the_whole_picture_and_its_hand():
    image = blank(1400, 1000)
    image[:20], image[-20:] = 255, 255
    tile = photo_tile(image, hands(hand(600, (700, 500))), HAND_21, "a.jpg")
    assert tile.shape == (TILE, TILE, 3)
    top = (TILE - round(1000 * TILE / 1400)) // 2
    assert (tile[top + 1, ::20] == 255).all()
    np.testing.assert_array_equal(tile[top - 4, 200], [32, 32, 32])
    middle = tile[TILE // 2 - 50 : TILE // 2 + 50, TILE // 2 - 50 : TILE // 2 + 50]
    assert changed(middle).mean() > 0.05
    without = photo_tile(image, hands(), HAND_21, "a" * 80 + ".jpg")
    assert (cv2.inRange(without[-30:], (60, 60, 200), (120, 120, 255)) > 0).any()  # "no hand"


@pytest.mark.parametrize(("count", "sheets"), [(1, 1), (5, 1), (TILES_A_SHEET + 1, 2), (0, 0)])
def test_sheets_hold_every_tile(count, sheets):
    tiles = [np.full((8, 8, 3), 1 + n % 200, np.uint8) for n in range(count)]
    found = list(photo_sheets(tiles))
    assert len(found) == sheets
    values = (
        np.concatenate([np.unique(s[..., 0], return_counts=True) for s in found], 1)
        if found
        else np.zeros((2, 0), int)
    )
    assert values[1][values[0] != 32].sum() >= 64 * (count - 1)
