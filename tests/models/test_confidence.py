"""Confidence: cues, the curves that turn them into probabilities, and the shipped parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from multiview.core import HAND_21, Skeleton
from multiview.errors import ConfigError, InputError
from multiview.models import ImageHands, next_rois
from multiview.models.card import load_card
from multiview.models.confidence import (
    SHIPPED,
    Calibration,
    CalibrationFile,
    Curve,
    calibrate,
    find_calibration,
    read_calibrations,
    reliability,
)
from multiview.models.cues import (
    DIRECTIONS,
    FAR,
    STEP,
    crop_steps,
    hand_cues,
    hand_size,
    spread_cues,
)

K = 21
ANY = "0" * 64
# Rounding of shifted and scaled coordinates.
SAME = 1e-9


def a_hand(rng, count=3):
    """Hands like fans: fingers side by side, some bent, in a crop of their own."""
    length = np.concatenate([[0], np.tile([0.5, 0.7, 0.85, 1.0], 5)])
    angle = np.concatenate([[0], np.repeat(np.deg2rad([-45, -18, 0, 15, 30]), 4)])
    fan = np.stack([np.sin(angle), -np.cos(angle)], -1) * length[:, None] * 150
    xy = fan + np.array([320, 300]) + rng.normal(0, 8, (count, K, 2))
    presence = rng.uniform(0.6, 0.99, count)
    return ImageHands(
        xy_px=xy,
        conf=np.ones((count, K)),
        handedness=np.full(count, 0.9),
        presence=presence,
        rois=next_rois(xy) + np.array([3, -5, 12, 0.05]),
        z_rel=rng.normal(0, 20, (count, K)),
    )


def shipped(passes=0, model="mediapipe-full"):
    found = find_calibration(load_card(model).weights["hand"].sha256, passes)
    assert found is not None
    return found


def cues_of(hands):
    return hand_cues(hands, HAND_21, next_rois(hands.xy_px))


def synthetic(rng, hands=4000):
    """Cues with known log odds: the keypoint's own, and one slope a cue."""
    cues = {
        "spread": rng.uniform(-5, -1, (hands, K)),
        "behind": rng.uniform(0, 1, (hands, K)),
    }
    offsets = np.linspace(-0.5, 0.5, K)
    odds = offsets + 1 - 1.0 * (cues["spread"] + 3) - 2.0 * (cues["behind"] - 0.5)
    p = 1 / (1 + np.exp(-odds))
    return cues, p, rng.random(p.shape) < p


def fit(cues, right, passes=2):
    return calibrate(cues, right, model="m", sha256=ANY, passes=passes, fitted_on="made up")


def test_a_known_calibration_is_recovered():
    cues, p, right = synthetic(np.random.default_rng(1))
    fitted = fit(cues, right).probability(cues)
    # 84000 examples, 30 parameters: sampling error of p below 0.01 rms; the prior adds a bias
    assert np.sqrt(np.mean((fitted - p) ** 2)) < 0.02
    said, came, count = reliability(fitted, right)
    assert np.nansum(np.abs(said - came) * count) / count.sum() < 0.01


def test_curves_stay_monotone_when_the_data_say_otherwise():
    rng = np.random.default_rng(2)
    cues, _, right = synthetic(rng)
    against = fit({"spread": -cues["spread"], "behind": cues["behind"]}, right)
    assert np.ptp(against.curves["spread"].log_odds) < 1e-3
    assert against.curves["behind"].log_odds[-1] < -0.5


@pytest.mark.parametrize("passes", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("model", ["mediapipe-full", "mediapipe-lite"])
def test_shipped_parameters_are_monotone_probabilities(passes, model):
    calibration = shipped(passes, model)
    rng = np.random.default_rng(3)
    cues = {n: rng.uniform(-12, 12, (50, K)) for n in calibration.curves}
    p = calibration.probability(cues)
    assert np.all((p > 0) & (p < 1))
    for name in calibration.curves:
        better = cues | {name: cues[name] + DIRECTIONS[name] * rng.uniform(0, 5, (50, K))}
        assert np.all(calibration.probability(better) >= p)
    assert ("spread" in calibration.curves) == (passes > 0)


def test_parameters_survive_the_file(tmp_path):
    cues, _, right = synthetic(np.random.default_rng(4), 200)
    one = fit(cues, right)
    content = CalibrationFile(version=1, within=0.1, calibrations=(one,))
    path = tmp_path / "confidence.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(content.model_dump_json())))
    assert read_calibrations(path) == (one,)
    assert find_calibration(ANY, 2, tmp_path) == one
    assert find_calibration(ANY, 4, tmp_path) is None
    assert find_calibration(ANY, 2) is None


def damaged(change):
    content = yaml.safe_load(SHIPPED.read_text())
    change(content, content["calibrations"][0])
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, c: f.update(within=0.2), "within is 0.2"),
        (lambda f, c: f.update(version=2), "version"),
        (lambda f, c: f["calibrations"].append(c), "same sha256 and passes"),
        (lambda f, c: c.update(sha=ANY), "sha"),
        (lambda f, c: c.update(sha256="abc"), "sha256"),
        (lambda f, c: c["curves"]["presence"]["log_odds"].reverse(), "nowhere fall"),
        (lambda f, c: c["curves"].update(magic=c["curves"]["presence"]), "unknown cue 'magic'"),
        (lambda f, c: c["curves"]["presence"]["at"].reverse(), "at must increase"),
        (lambda f, c: c["curves"]["presence"]["at"].pop(), "entries"),
        (lambda f, c: c.update(offsets=[float("nan")] * K), "finite"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    path = tmp_path / "confidence.yaml"
    path.write_text(damaged(change))
    with pytest.raises(ConfigError, match=message) as caught:
        read_calibrations(path)
    assert str(path) in str(caught.value)


def test_cues_do_not_depend_on_place_or_size():
    hands = a_hand(np.random.default_rng(5))
    moved = replace(
        hands,
        xy_px=hands.xy_px * 3 + [100, -40],
        rois=hands.rois * [3, 3, 3, 1] + [100, -40, 0, 0],
        z_rel=hands.z_rel * 3,
    )
    before, after = cues_of(hands), cues_of(moved)
    assert set(before) == {"presence", "behind", "clearance", "recrop"}
    for name, cue in before.items():
        np.testing.assert_allclose(after[name], cue, atol=SAME)
    readings = hands.xy_px[:, None] + np.random.default_rng(6).normal(0, 4, (3, 5, K, 2))
    np.testing.assert_allclose(
        spread_cues(readings, hands.xy_px)["spread"],
        spread_cues(readings * 3 + [100, -40], moved.xy_px)["spread"],
        atol=SAME,
    )


def test_cues_measure_what_they_say():
    hands = a_hand(np.random.default_rng(7), 1)
    xy = hands.xy_px.copy()
    xy[0, 8] = (xy[0, 11] + xy[0, 12]) / 2  # index tip on the middle finger's last bone
    crossed = cues_of(replace(hands, xy_px=xy, z_rel=np.arange(K)[None].astype(float)))
    assert crossed["clearance"][0, 8] == pytest.approx(0, abs=SAME)
    assert cues_of(hands)["clearance"][0, 8] > 0.1
    assert crossed["behind"][0] == pytest.approx(np.arange(K) / hand_size(xy)[0])
    curled = hands.xy_px.copy()
    curled[0, 8] = (curled[0, 5] + curled[0, 6]) / 2  # on a bone of its own finger
    assert cues_of(replace(hands, xy_px=curled))["clearance"][0, 8] > 0.05
    wanted = next_rois(hands.xy_px)
    assert np.linalg.norm(crop_steps(wanted, wanted)) == 0
    turned = wanted + np.array([0, 0, 0, 2 * np.pi + STEP[3]])
    assert crop_steps(wanted, turned)[0] == pytest.approx([0, 0, 0, 1])
    assert crossed["clearance"].max() <= FAR


def test_a_crop_without_a_hand_raises_the_spread():
    hands = a_hand(np.random.default_rng(8), 1)
    readings = np.repeat(hands.xy_px[:, None], 4, axis=1)
    calm = spread_cues(readings, hands.xy_px)["spread"]
    readings[0, 2] = np.nan
    lost = spread_cues(readings, hands.xy_px)["spread"]
    assert np.all(lost > calm + 1)
    assert np.isfinite(lost).all()


def test_missing_hands_and_no_hands():
    hands = a_hand(np.random.default_rng(9))
    xy = hands.xy_px.copy()
    xy[1] = np.nan
    p = shipped().probability(cues_of(replace(hands, xy_px=xy)))
    assert np.all(p[1] == 0)
    assert np.all(p[[0, 2]] > 0)
    none = hands.take(np.zeros(0, np.int64))
    assert shipped().probability(cues_of(none)).shape == (0, K)


def test_detectors_without_depth_or_bones_have_fewer_cues():
    hands = replace(a_hand(np.random.default_rng(10)), z_rel=None)
    assert "behind" not in cues_of(hands)
    with pytest.raises(InputError, match="cue behind is missing"):
        shipped().probability(cues_of(hands))
    boneless = Skeleton(
        name="points",
        keypoints=HAND_21.keypoints,
        edges=(),
        groups=HAND_21.groups,
        colors=HAND_21.colors,
    )
    assert np.all(hand_cues(hands, boneless, hands.rois)["clearance"] == FAR)


def test_calibrate_refuses_what_cannot_be_fitted():
    cues, _, right = synthetic(np.random.default_rng(11), 20)
    with pytest.raises(InputError, match="unknown cue colour"):
        fit({"colour": cues["spread"]}, right)
    with pytest.raises(InputError, match="100% of keypoints right"):
        fit(cues, np.ones_like(right))
    with pytest.raises(InputError, match="0 hands"):
        fit({"spread": cues["spread"] * np.nan}, right)
    with pytest.raises(InputError, match="21 keypoints"):
        fit(cues, right).probability({n: c[:, :5] for n, c in cues.items()})


def test_a_constant_cue_is_harmless():
    cues, _, right = synthetic(np.random.default_rng(12), 500)
    fitted = fit(cues | {"peak": np.full(right.shape, 0.7)}, right)
    assert np.isfinite(fitted.probability(cues | {"peak": np.full(right.shape, 0.9)})).all()


def test_reliability_counts_every_example_once():
    conf = np.array([0.05, 0.05, 0.95, 1.0])
    said, came, count = reliability(conf, np.array([False, True, True, True]))
    assert count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert said[[0, 9]] == pytest.approx([0.05, 0.975])
    assert came[[0, 9]] == pytest.approx([0.5, 1])
    assert np.isnan(said[1])


def test_curves_are_constant_beyond_their_ends():
    curve = Curve(at=(0, 1), log_odds=(0, 2))
    one = Calibration(
        model="m", sha256=ANY, passes=0, fitted_on="", offsets=(0.0,), curves={"peak": curve}
    )
    p = one.probability({"peak": np.array([[-9.0], [0.0], [0.5], [1.0], [9.0]])})[:, 0]
    assert p == pytest.approx(1 / (1 + np.exp(-np.array([0, 0, 1, 2, 2.0]))))
