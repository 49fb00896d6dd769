"""Following hands: MediaPipe's rule step by step, and numbers that stay with the hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.models import ImageHands, load_detector
from multiview.models.tracking import MEMORY, Tracker

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
SIDE = 100.0  # of a scripted hand's box; its crop is twice that
SHAPE = np.random.default_rng(3).uniform(-0.5, 0.5, (21, 2))
SHAPE = (SHAPE - SHAPE.min(0)) / np.ptp(SHAPE, axis=0) - 0.5


class Scripted:
    """A detector of points that are given instead of an image: (x, y, right) per hand.

    A crop shows the hand whose centre is nearest to its own, if it lies inside.
    """

    name, skeleton = "scripted", HAND_21

    def __init__(self):
        self.searched, self.read, self.blind = [], [], set()

    def propose(self, image):
        self.searched.append(image["frame"])
        seen = [h for n, h in enumerate(image["hands"]) if n not in self.blind]
        return np.array([[x, y, 2 * SIDE, 0.0] for x, y, _ in seen]).reshape(-1, 4)

    def rois_of(self, xy_px):
        low, high = xy_px.min(1), xy_px.max(1)
        side = 2 * (high - low).max(1)
        return np.column_stack([(low + high) / 2, side, np.zeros(len(xy_px))]).reshape(-1, 4)

    def detect(self, image, rois=None):
        self.read.append(np.array(rois))
        xy, right = np.full((len(rois), 21, 2), np.nan), np.full(len(rois), np.nan)
        presence = np.full(len(rois), 0.1)
        for i, roi in enumerate(rois):
            far = [max(abs(x - roi[0]), abs(y - roi[1])) for x, y, _ in image["hands"]]
            if far and min(far) < roi[2] / 2:
                hand = int(np.argmin(far))
                x, y, right[i] = image["hands"][hand]
                presence[i] = 0.6 + 0.1 * hand
                xy[i] = SHAPE * SIDE + [x, y]
        conf = np.repeat(np.where(np.isfinite(right), 0.9, 0.0)[:, None], 21, 1)
        return ImageHands(xy_px=xy, conf=conf, handedness=right, presence=presence, rois=rois)

    def detect_batch(self, images, rois=None):
        return [self.detect(i, r) for i, r in zip(images, rois, strict=True)]


def run(tracker, film):
    """Numbers and palm positions of each picture of a film: lists of (x, y, right)."""
    out = []
    for frame, hands in enumerate(film):
        found, ids = tracker.step({"frame": frame, "hands": hands})
        centres = (found.xy_px.min(1) + found.xy_px.max(1)) / 2
        out.append(dict(zip(ids.tolist(), centres.tolist(), strict=True)))
    return out


def test_search_stops_when_all_hands_are_tracked():
    detector = Scripted()
    run(Tracker(detector, max_hands=2), [[(0, 0, 1), (500, 0, 0)]] * 4)
    assert detector.searched == [0]
    detector = Scripted()
    run(Tracker(detector, max_hands=2), [[(0, 0, 1)]] * 4)
    assert detector.searched == [0, 1, 2, 3]
    detector = Scripted()
    run(Tracker(detector, max_hands=2), [[]] * 3)
    assert detector.searched == [0, 1, 2]


def test_search_every_third_picture_only_while_a_hand_is_tracked():
    detector = Scripted()
    film = [[(0, 0, 1)]] * 8 + [[]] * 3
    run(Tracker(detector, max_hands=2, search_every=3), film)
    assert detector.searched == [0, 3, 6, 9, 10]


def test_tracked_crop_replaces_the_proposal_for_the_same_hand():
    detector = Scripted()
    run(Tracker(detector, max_hands=2), [[(0, 0, 1)], [(20, 0, 1), (500, 0, 0)], [(40, 0, 1)]])
    # the new hand's proposal comes first, then the crop of the last keypoints, not the proposal
    np.testing.assert_allclose(detector.read[1][:, :3], [[500, 0, 200], [0, 0, 200]], atol=1e-9)


def test_two_tracked_crops_on_one_hand_become_one():
    detector = Scripted()
    film = [[(0, 0, 1), (150, 0, 0)], [(0, 0, 1)], [(0, 0, 1)], [(0, 0, 1)]]
    detector.blind = {1}
    tracker = Tracker(detector, max_hands=2)
    tracker._tracked = np.array([[0, 0, 200, 0], [60, 0, 200, 0.0]])
    assert len(tracker.rois()) == 2 - 1  # IoU 0.54
    tracker._tracked = np.array([[0, 0, 200, 0], [70, 0, 200, 0.0]])
    assert len(tracker.rois()) == 2  # IoU 0.48
    assert [len(f) for f in run(Tracker(detector, 2), film)] == [1, 1, 1, 1]


def test_track_ends_when_no_hand_is_present_and_the_picture_is_searched_again():
    detector = Scripted()
    film = [[(0, 0, 1)], [(300, 0, 1)], [(300, 0, 1)]]  # jumps out of its crop: tracked crop empty
    detector.blind = {0}
    tracker = Tracker(detector, max_hands=1)
    detector.blind = set()
    found = run(tracker, film)
    assert [len(f) for f in found] == [1, 0, 1]
    assert detector.searched == [0, 2]


def test_never_more_than_max_hands_and_tracked_ones_first():
    detector = Scripted()
    detector.blind = {0}
    tracker = Tracker(detector, max_hands=2)
    tracker._tracked = np.array([[0, 0, 200, 0.0]])
    film = [[(0, 0, 1), (500, 0, 1), (1000, 0, 1)]]
    found = run(tracker, film)
    assert len(detector.read[0]) == 3
    assert len(found[0]) == 2
    assert [0.0, 0.0] in np.round(list(found[0].values()), 6).tolist()


@pytest.mark.parametrize("sides", [(1, 0), (1, 1)])
def test_numbers_stay_with_hands_whose_crops_swap(sides):
    """Between two pictures each hand jumps to the other's place: only motion tells them apart."""
    film = [[(x, 0, sides[0]), (-x, 0, sides[1])] for x in range(-360, 361, 80)]
    found = run(Tracker(Scripted(), max_hands=2), film)
    assert all(set(f) == {0, 1} for f in found)
    for number in (0, 1):
        path = np.array([f[number][0] for f in found])
        np.testing.assert_allclose(np.abs(np.diff(path)), 80)
        assert len(set(np.sign(np.diff(path)))) == 1


def test_lost_hand_comes_back_on_its_own_side():
    """A left hand nearer to where the right one was lost does not take its number."""
    found = run(Tracker(Scripted()), [[(0, 0, 1)], [], [(-40, 0, 0), (60, 0, 1)]])
    assert np.round(found[2][0]).tolist() == [60, 0]


def test_hand_that_comes_back_has_its_number_and_a_later_one_a_new_number():
    here, away = [(0, 0, 1)], []
    found = run(Tracker(Scripted()), [here, here, *[away] * 5, here, *[away] * (MEMORY + 2), here])
    numbers = [list(f) for f in found if f]
    assert numbers == [[0], [0], [0], [1]]


def test_hand_far_from_the_lost_one_is_another():
    found = run(Tracker(Scripted()), [[(0, 0, 1)], [], [(SIDE * 1.5, 0, 1)]])
    assert [list(f) for f in found] == [[0], [], [1]]


def test_two_hands_on_different_places_keep_order_and_number_when_one_leaves():
    both, one = [(0, 0, 1), (500, 0, 0)], [(500, 0, 0)]
    found = run(Tracker(Scripted()), [both, one, both])
    number = next(n for n, at in found[0].items() if at[0] > 250)
    assert list(found[1]) == [number]
    assert found[2] == found[0]


def test_handedness_is_the_mean_over_the_track():
    tracker, raw = Tracker(Scripted()), Tracker(Scripted(), smooth_handedness=False)
    sides = [0.9, 0.7, 0.2]
    for i, side in enumerate(sides):
        image = {"frame": i, "hands": [(0, 0, side)]}
        assert tracker.step(image)[0].handedness[0] == pytest.approx(np.mean(sides[: i + 1]))
        assert raw.step(image)[0].handedness[0] == side


def test_unknown_side_and_missing_keypoints_do_not_stop_it():
    tracker = Tracker(Scripted())
    for frame in range(3):
        image = {"frame": frame, "hands": [(0, 0, 0.8)]}
        rois = tracker.rois(tracker.detector.propose(image) if tracker.needs_search() else None)
        hands = tracker.detector.detect(image, rois)
        xy = hands.xy_px.copy()
        xy[:, frame] = np.nan
        side = np.full(len(hands), np.nan if frame == 1 else 0.8)
        tracker.detector.rois_of = lambda xy: Scripted().rois_of(np.nan_to_num(xy, nan=0.0))
        found, ids = tracker.update(replace(hands, xy_px=xy, handedness=side))
        assert ids.tolist() == [0]
        assert found.handedness[0] == pytest.approx(0.8)


def test_state_goes_on_as_if_there_had_been_no_break():
    rng = np.random.default_rng(0)
    walk = np.array([[0, 0], [400, 0]]) + np.cumsum(rng.normal(0, 10, (30, 2, 2)), 0)
    film = [[(*walk[f, 0], 0.8), (*walk[f, 1], 0.3)][: 1 + (f % 7 > 2)] for f in range(30)]
    whole = Tracker(Scripted(), search_every=3)
    expected = run(whole, film)
    before, after = Tracker(Scripted(), search_every=3), Tracker(Scripted(), search_every=3)
    found = run(before, film[:17])
    after.restore(json.loads(json.dumps(before.state())))
    assert found + run(after, film[17:]) == expected
    assert after.state() == whole.state()


def test_reset_forgets_hands_but_gives_no_number_twice():
    tracker = Tracker(Scripted())
    run(tracker, [[(0, 0, 1)]])
    tracker.reset()
    assert tracker.needs_search()
    assert list(run(tracker, [[(0, 0, 1)]])[0]) == [1]


def test_wrong_use_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        Tracker(Scripted(), max_hands=0)
    with pytest.raises(InputError, match="at least 1"):
        Tracker(Scripted(), search_every=0)
    tracker = Tracker(Scripted())
    tracker.rois(np.array([[0, 0, 10, 0.0]]))
    with pytest.raises(InputError, match="0 rows for 1 crops"):
        tracker.update(Scripted().detect({"frame": 0, "hands": []}, np.empty((0, 4))))


@pytest.fixture(scope="module")
def lite():
    return load_detector("mediapipe-lite")


def test_real_hand_moving_over_the_picture_is_searched_once(lite, monkeypatch):
    photo = cv2.imread(str(PHOTOS / "2021-02-01_13-52-53_532.jpg"))
    searched = []
    propose = lite.propose
    monkeypatch.setattr(lite, "propose", lambda im: searched.append(1) or propose(im))
    tracker, numbers, found = Tracker(lite, max_hands=1), set(), []
    for shift in range(0, 120, 12):
        moved = cv2.warpAffine(
            photo, np.float32([[1, 0, shift], [0, 1, 0]]), (400, 460), borderValue=(90, 90, 90)
        )
        hands, ids = tracker.step(moved)
        numbers |= set(ids.tolist())
        found.append(hands.xy_px[0] - [shift, 0])
    assert numbers == {0}
    assert len(searched) == 1
    # the hand does not move in the photo: the same keypoints to a tenth of its size, by other crops
    off = np.linalg.norm(np.array(found) - found[0], axis=-1)
    assert off.mean(axis=1).max() < 0.1 * np.ptp(found[0], axis=0).max()
