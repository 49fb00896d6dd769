"""The search for small hands: tiles that cover, sizes of each level, parts that are no hands."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.images import read_image
from multiview.models import load_detector
from multiview.models import tiles as module
from multiview.models.mediapipe_palm import INPUT_SIZE
from multiview.models.tiles import OVERLAP, find_small_palms, not_parts, tiles

PHOTO = Path(__file__).parents[1] / "data" / "photos" / "2021-02-01_13-52-53_532.jpg"


def hand_on(width, height, size, at):
    """The photo's hand on plain grey, `size` px long, with its centre at a place."""
    photo, scale = read_image(PHOTO), size / 300.0
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y = at[0] - small.shape[1] // 2, at[1] - small.shape[0] // 2
    canvas = np.full((height, width, 3), 128, np.uint8)
    canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    return canvas


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (333, 777), (192, 192), (40, 30)])
def test_tiles_cover_the_picture_and_overlap(size):
    levels = tiles(*size)
    assert levels[0].tolist() == [[size[0] / 2, size[1] / 2, max(size), 0]]
    for above, level in itertools.pairwise(levels):
        side = level[0, 2]
        assert (level[:, 2] == side).all()
        assert INPUT_SIZE <= side < above[0, 2]
        for axis in (0, 1):
            places = np.unique(level[:, axis])
            if size[axis] <= side:
                assert places.tolist() == [size[axis] / 2]
                continue
            assert places[0] - side / 2 == pytest.approx(0)
            assert places[-1] + side / 2 == pytest.approx(size[axis])
            assert (np.diff(places) <= side * (1 - OVERLAP) + 1e-9).all()
    # half an octave from the palm network's own size at most
    assert levels[-1][0, 2] < INPUT_SIZE * 2**1.5


def test_a_hand_of_40_pixels_is_found_and_is_only_one():
    image = hand_on(640, 480, 40, (500, 140))
    assert len(load_detector().detect(image)) == 0
    detector = load_detector(small_hands=True)
    hands = detector.detect(image)
    assert len(hands) == 1
    assert 25 < np.ptp(hands.xy_px[0], axis=0).max() < 60
    assert np.linalg.norm(hands.xy_px[0].mean(0) - [500, 140]) < 20
    np.testing.assert_allclose(detector.propose(image), hands.rois)


def test_a_large_hand_is_found_once_and_as_before():
    """Its fingers are no hands, and a level of small tiles does not see it twice."""
    image = hand_on(640, 480, 260, (320, 240))
    plain = load_detector().detect(image)
    hands = load_detector(small_hands=True, max_hands=4).detect(image)
    assert len(plain) == len(hands) == 1
    error = np.linalg.norm(hands.xy_px[0] - plain.xy_px[0], axis=-1)
    assert np.median(error) < 0.05 * 260


def test_nothing_in_a_plain_picture():
    assert load_detector(small_hands=True).propose(np.full((480, 640, 3), 90, np.uint8)).shape == (
        0,
        4,
    )


class Palms:
    """A palm network that misses palms below a fifth of its tile, and misjudges cut ones."""

    batch = 1

    def __init__(self, monkeypatch, palms):
        self.palms, self.rois = palms, []
        monkeypatch.setattr(module, "sample", lambda image, roi, *_: self.rois.append(roi))
        monkeypatch.setattr(module, "blob", lambda _: None)
        monkeypatch.setattr(module, "decode", lambda *_: self.seen())
        monkeypatch.setattr(module, "run_each", self.run)

    def run(self, net, inputs):
        for _ in inputs:
            yield {"boxes": np.zeros((1, 18)), "scores": np.zeros(1)}

    def seen(self):
        """What lies at least half in the tile, in its unit square."""
        roi, found = self.rois[-1], []
        for x, y, size in self.palms:
            u, v = (np.array([x, y]) - roi[:2]) / roi[2] + 0.5
            half = size / roi[2] / 2
            if 0 <= u <= 1 and 0 <= v <= 1 and half > 0.095:
                if min(u, v) < half or max(u, v) > 1 - half:
                    half *= 1.3  # larger than it is: it still reaches over the border
                points = [[u, v + half], [u, v], [u, v - half], *[[u, v]] * 4]
                found.append([[u - half, v - half], [u + half, v + half], *points])
        return np.full(len(found), 0.9), np.array(found).reshape(-1, 9, 2)


def test_a_palm_is_taken_from_a_tile_that_shows_it_whole(monkeypatch):
    """Wherever it lies: one cut by a border inside the picture is left to another tile."""
    rng, image = np.random.default_rng(0), np.zeros((480, 640, 3), np.uint8)
    for size in rng.uniform(38, 240, 60):
        x, y = rng.uniform(size / 2, np.array([640, 480]) - size / 2)
        rois = find_small_palms(Palms(monkeypatch, [(x, y, size)]), image, 9, 0.5)
        assert len(rois) == 1
        assert rois[0, 2] == pytest.approx(2.6 * size, rel=1e-6)


def test_a_palm_cut_by_the_picture_counts(monkeypatch):
    image = np.zeros((480, 640, 3), np.uint8)
    for x, y in ((636, 476), (3, 240)):
        rois = find_small_palms(Palms(monkeypatch, [(x, y, 40)]), image, 9, 0.5)
        assert len(rois) == 1


def test_a_large_palm_is_not_looked_for_in_small_tiles(monkeypatch):
    """The whole picture misses it: what a small tile says of so large a palm does not count."""
    image = np.zeros((480, 640, 3), np.uint8)
    net, seen = Palms(monkeypatch, [(320, 160, 200)]), []
    original = net.seen

    def small_only():
        score, palm = original()
        side = net.rois[-1][2]
        seen.append(side < 640 and len(score) and (palm[:, :2] > 0).all() and (palm < 1).all())
        return (score[:0], palm[:0]) if side == 640 else (score, palm)

    monkeypatch.setattr(module, "decode", lambda *_: small_only())
    assert len(find_small_palms(net, image, 9, 0.5)) == 0
    assert any(seen)  # whole, in one of them


def test_parts_and_doubles():
    rng = np.random.default_rng(0)
    hand = rng.uniform(0, 1, (21, 2))
    hand[:2] = [[0, 0], [1, 1]]
    finger = 0.4 * hand + [0.1, 0.5]
    beside = hand + np.array([0.6, 0])
    small_beside = 0.4 * hand + [1.2, 0]
    same = 0.9 * hand + 0.02
    hands = np.array([finger, hand, same, beside, small_beside])
    assert not_parts(hands).tolist() == [1, 3]
    assert not_parts(np.array([hand, 0.4 * hand + [1.2, 1.2]])).tolist() == [0, 1]
    assert not_parts(np.empty((0, 21, 2))).tolist() == []
