"""Calibrating a network of one's own: cues of maps, and what is fitted to known hands."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.errors import InputError
from multiview.models import heatmap
from multiview.models.confidence import HasCalibration, read_calibrations
from multiview.models.decode import mass_of_lines
from multiview.models.fit_confidence import calibration_text, collect, fit, held_out
from multiview.models.jitter import Jittered
from multiview.models.load import load_detector

sys.path.insert(0, str(Path(__file__).parent))
from dot_net import dots_card, draw
from test_heatmap import around, spread

SIZE = (170, 170)
SIDE = 128
# A dot drawn this far from where it is said to be is wrong: a fifth of the hand.
OFF = 0.2


class Searching:
    """The dots network, with a search that knows where the dots are."""

    def __init__(self, network, where):
        self.network, self.where = network, where
        self.name, self.skeleton = network.name, network.skeleton
        self.keypoint_weights = network.keypoint_weights

    def calibration(self, passes):
        return self.network.calibration(passes)

    def propose(self, image):
        return self.where

    def rois_of(self, xy_px):
        return self.network.rois_of(xy_px)

    def detect(self, image, rois=None):
        return self.detect_batch([image], [rois])[0]

    def detect_batch(self, images, rois=None):
        rois = [self.where if r is None else r for r in rois or [None] * len(images)]
        return self.network.detect_batch(images, rois)


def scenes(count, seed=0):
    """Pictures whose faint dots are not where they are said to be, and their hands."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        xy = spread(21, SIZE, margin=35, seed=n)
        image = draw(xy, SIZE).astype(float)
        truth = xy.copy()
        for k in rng.choice(21, 6, replace=False):
            x, y = np.rint(xy[k]).astype(int)
            image[y - 6 : y + 7, x - 6 : x + 7] *= 0.93
            truth[k] += OFF * np.ptp(xy, axis=0).max()
        yield np.rint(image).astype(np.uint8), truth[None]


@pytest.fixture
def network(tmp_path):
    card = dots_card(tmp_path, size_hw=(SIDE, SIDE))
    where = np.array([[85.0, 85, SIDE, 0]])
    return Searching(heatmap.from_card(card), where)


@pytest.mark.parametrize("simcc", [False, True])
def test_maps_give_peak_and_mass(tmp_path, simcc):
    xy = spread(21, SIZE, margin=35)
    card = dots_card(tmp_path, simcc=simcc, grid="index", size_hw=(SIDE, SIDE))
    detector = heatmap.from_card(card)
    image, roi = draw(xy, SIZE), around(xy, SIDE)
    hands = detector.detect(image, roi)
    np.testing.assert_array_equal(hands.peak, hands.conf)  # not calibrated: the raw peak
    assert not detector.calibrated
    assert (hands.mass > 0.4).all()
    # a second dot of keypoint 0's colour, small and far away, takes from its mass alone
    border = np.stack([np.linspace(35, 135, 50), np.full(50, 27.0)], axis=-1)
    free = border[np.linalg.norm(border[:, None] - xy, axis=-1).min(1).argmax()]
    two = np.maximum(image, draw(free[None], SIZE, radius=3))
    both = detector.detect(two, roi)
    np.testing.assert_allclose(both.xy_px, hands.xy_px, atol=0.1)
    assert both.mass[0, 0] < 0.9 * hands.mass[0, 0]
    assert (both.mass[0, 1:] > 0.9 * hands.mass[0, 1:]).all()
    nothing = detector.detect(np.zeros_like(image), roi)
    assert (nothing.mass == 0).all()
    assert (nothing.peak == 0).all()


def test_mass_of_lines():
    lines = np.array([[[0, 1.0, 2, 1, 0, -3, 0, 4]]])
    assert mass_of_lines(lines, np.array([[2.0]]), 1)[0, 0] == pytest.approx(4 / 8)
    assert mass_of_lines(lines * 0, np.array([[2.0]]), 1)[0, 0] == 0


@pytest.mark.parametrize("passes", [0, 2])
def test_a_network_learns_what_its_peaks_are_worth(network, tmp_path, passes):
    examples = collect(network, scenes(30), (passes,))[passes]
    assert examples.right.shape == (30, 21)
    assert set(examples.cues) >= {"peak", "mass", "presence", "clearance", "recrop"}
    assert ("spread" in examples.cues) == (passes > 0)
    assert examples.right.mean() == pytest.approx(15 / 21, abs=0.05)
    fitted = fit(network, examples, passes, "made up")
    text = calibration_text([fitted], "a comment")
    (tmp_path / "confidence.yaml").write_text(text)
    assert read_calibrations(tmp_path / "confidence.yaml") == (fitted,)
    # loaded with the card from now on
    again = Searching(load_detector(tmp_path / "dots.yaml"), network.where)
    assert isinstance(again.network, HasCalibration)
    detector = Jittered(again, passes=passes) if passes else again
    assert again.network.calibrated == (passes == 0)
    if passes:
        assert detector.calibrated
    fresh = list(scenes(10, seed=1))
    conf, right = [], []
    for image, truth in fresh:
        hands = detector.detect(image)
        size = np.ptp(truth[0], axis=0).max()
        right.append(np.linalg.norm(hands.xy_px[0] - truth[0], axis=-1) / size < 0.1)
        conf.append(hands.conf[0])
    conf, right = np.array(conf), np.array(right)
    assert conf[right].mean() > conf[~right].mean() + 0.3
    assert conf.mean() == pytest.approx(right.mean(), abs=0.1)
    said, share, gap = held_out(network, examples, passes)
    assert said == pytest.approx(share, abs=0.1)
    assert gap < 0.15


def test_flips_and_whole_pixels_have_no_calibration(network, tmp_path):
    fitted = fit(network, collect(network, scenes(8), (0,))[0], 0, "made up")
    (tmp_path / "confidence.yaml").write_text(calibration_text([fitted], "a comment"))
    path = tmp_path / "dots.yaml"
    assert load_detector(path).calibrated
    assert not load_detector(path, flip=True).calibrated
    assert not load_detector(path, method="argmax").calibrated


def test_unknown_keypoints_teach_nothing(network):
    """A third of the labels is missing: as if those keypoints had not been asked about."""
    hidden = np.arange(21) % 3 == 0

    def some():
        for image, truth in scenes(12):
            yield image, np.where(hidden[:, None], np.nan, truth)

    examples = collect(network, some(), (0,))[0]
    assert not examples.known[:, hidden].any()
    assert examples.known[:, ~hidden].all()
    whole = collect(network, scenes(12), (0,))[0]
    assert (examples.right[:, ~hidden] == whole.right[:, ~hidden]).mean() > 0.95
    fitted = fit(network, examples, 0, "made up")
    # nothing was seen of these: their own log odds stay at the common level of the prior
    offsets = np.array(fitted.offsets)
    assert np.ptp(offsets[hidden]) < 1e-2


def test_hands_elsewhere_are_no_examples(network):
    far = [(image, truth + 200) for image, truth in scenes(3)]
    with pytest.raises(InputError, match="no known hand"):
        collect(network, far, (0,))
    with pytest.raises(InputError, match="no known hand"):
        collect(network, [(image, np.empty((0, 21, 2))) for image, _ in scenes(2)], (0,))


def test_a_hand_beside_another_is_its_own(network):
    """Of two known hands the near one counts."""
    both = [(image, np.concatenate([truth + 60, truth])) for image, truth in scenes(6)]
    alone = collect(network, scenes(6), (0,))[0]
    np.testing.assert_array_equal(collect(network, both, (0,))[0].right, alone.right)


def test_a_detector_without_weights_cannot_be_calibrated(network):
    examples = collect(network, scenes(6), (0,))[0]
    with pytest.raises(InputError, match="has no confidence"):
        fit(Jittered(network, passes=1), examples, 0, "made up")
