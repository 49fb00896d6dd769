"""The same questions asked of hands: noisy keypoints, sides confused, no board."""

import numpy as np
import pytest
from health_scenes import copied, exchanged, hands, nudged, resized, scaled, small_rig

from multiview.calib.health import check_detections
from multiview.synth import make_rig

SEED = 5


@pytest.fixture(scope="module")
def rig():
    return make_rig(np.random.default_rng(SEED), 6)


@pytest.fixture(scope="module")
def dets(rig):
    return hands(rig, SEED)


def one(report):
    assert len(report.findings) == 1, [(f.kind, f.cameras) for f in report.findings]
    return report.findings[0]


@pytest.mark.parametrize("seed", range(2))
def test_a_true_rig_raises_no_alarm(seed):
    rig = make_rig(np.random.default_rng(seed), 5)
    report = check_detections(hands(rig, seed), rig)
    assert report.healthy, report.findings
    # hands show less than boards, and the report says how much
    assert 3 < report.smallest_mm < 20


def test_a_moved_camera_is_named(rig, dets):
    found = one(check_detections(dets, nudged(rig, 1, mm=30)))
    assert found.kind in {"moved", "turned"}
    assert found.cameras == ("cam01",)


def test_a_camera_two_frames_late_is_named_as_that(rig):
    found = one(check_detections(hands(rig, SEED, offset={3: 2}), rig))
    assert (found.kind, found.cameras) == ("offset", ("cam03",))
    assert abs(found.value - 2000 / 30) < 5


def test_exchanged_cameras_are_named(rig, dets):
    found = one(check_detections(exchanged(dets, 1, 4), rig))
    assert (found.kind, set(found.cameras)) == ("swapped", {"cam01", "cam04"})


def test_the_same_footage_under_two_names_is_named(rig, dets):
    found = one(check_detections(copied(dets, 1, 4), rig))
    assert (found.kind, set(found.cameras)) == ("duplicate", {"cam01", "cam04"})


def test_a_rig_in_millimetres_is_named(rig, dets):
    found = one(check_detections(dets, scaled(rig, 1000)))
    assert found.kind == "unit"
    assert "millimetres" in found.text


def test_pictures_of_another_size_are_named(rig, dets):
    found = one(check_detections(resized(dets, 0.5), rig))
    assert (found.kind, found.cameras) == ("size", rig.names)


def test_hands_of_any_size_are_no_wrong_unit():
    """A child's hand is 0.13 m long: scale is for boards to tell."""
    rig = small_rig(SEED, 5)
    assert check_detections(hands(rig, SEED), scaled(rig, 0.8)).healthy
