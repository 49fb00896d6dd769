"""PCK of a detector on labelled pictures, by hand-made answers."""

import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.evaluation.held_out import LabelledPicture, score_detector
from multiview.models.base import ImageHands

PICTURE = np.zeros((100, 100, 3), np.uint8)


def hand(x=20.0, size=40.0):
    """A hand in a square box of this side; K points on a grid."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)), -1).reshape(-1, 2)
    return x + size * np.concatenate([grid[:20], grid[-1:]])


def answer(xy, presence=None):
    n = len(xy)
    return ImageHands(
        xy_px=xy,
        conf=np.repeat(np.isfinite(xy).all((1, 2))[:, None], 21, 1).astype(float),
        handedness=np.full(n, 0.5),
        presence=np.ones(n) if presence is None else presence,
        rois=np.zeros((n, 4)),
    )


class Scripted:
    """Gives one answer for crops and another for the bare picture."""

    name, skeleton = "scripted", HAND_21

    def __init__(self, crops, picture):
        self.crops, self.picture, self.asked = crops, picture, []

    def rois_of(self, xy_px):
        self.asked.append(xy_px)
        return np.concatenate([xy_px.mean(1), np.full((len(xy_px), 1), 80), xy_px[:, 0, :1]], 1)

    def detect(self, image, rois=None):
        return answer(self.picture if rois is None else self.crops)


def score(truth, crops, picture):
    detector = Scripted(crops, picture)
    return score_detector(detector, [LabelledPicture(image=PICTURE, xy_px=truth)])


def test_errors_are_shares_of_the_longer_side():
    truth = hand()[None]
    off = truth + np.array([3.0, 0])  # 3 of 40 px: 0.075
    got = score(truth, off, truth + np.array([9.0, 0]))  # 0.225
    np.testing.assert_allclose(got.crop_error, 0.075)
    figures = got.figures()
    assert (figures["crop_pck_0.05"], figures["crop_pck_0.1"]) == (0.0, 1.0)
    assert (figures["picture_pck_0.2"], figures["picture_auc"]) == (
        0.0,
        pytest.approx(0.25, abs=0.02),
    )
    assert figures["detection_rate"] == 1.0


def test_a_hand_that_is_not_found_is_wrong_in_all_keypoints():
    truth = np.stack([hand(10), hand(55)])
    got = score(truth, truth, truth[:1])
    assert got.figures()["picture_pck_0.1"] == 0.5
    assert got.figures()["detection_rate"] == 0.5
    assert got.figures()["crop_pck_0.1"] == 1.0


def test_one_found_hand_is_not_two():
    truth = np.stack([hand(20), hand(22)])
    got = score(truth, truth, truth[:1])
    np.testing.assert_array_equal(got.found, [True, False])


def test_hands_are_matched_by_place_not_by_order():
    truth = np.stack([hand(10), hand(55)])
    np.testing.assert_allclose(score(truth, truth, truth[::-1]).error, 0)


def test_another_hand_far_away_is_no_answer():
    truth = hand(10, 30)[None]
    got = score(truth, truth, hand(60, 30)[None])
    assert not got.found.any()


def test_what_is_not_labelled_is_not_counted():
    truth = hand()[None].copy()
    truth[:, 5:] = np.nan
    got = score(truth, hand()[None] + 1, np.zeros((0, 21, 2)))
    assert np.isfinite(got.crop_error).sum() == 5
    assert np.isinf(got.error).sum() == 5
    assert got.figures()["crop_pck_0.1"] == 1.0


def test_no_picture_has_no_figure():
    assert np.isnan(score_detector(Scripted(None, None), []).figures()["detection_rate"])
