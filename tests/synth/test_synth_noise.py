"""Errors of an invented detector: as many and as large as asked, and marked."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.core import Rig
from multiview.errors import InputError, ShapeError
from multiview.synth import make_hand_motion, make_rig, observe, occluded

# Shares are counted over N draws; 5 standard deviations of a binomial leave 1 failure in a million.
SIGMAS = 5.0


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(0), 6, view_m=0.8)


@pytest.fixture(scope="module")
def hands() -> np.ndarray:
    return make_hand_motion(np.random.default_rng(1), 120, 2)


def near_share(mask: np.ndarray, share: float) -> bool:
    return bool(abs(mask.mean() - share) < SIGMAS * np.sqrt(share * (1 - share) / mask.size))


def test_same_seed_same_observation(rig: Rig, hands: np.ndarray) -> None:
    a, b = (
        observe(np.random.default_rng(4), rig, hands, outliers=0.1, missing=0.1, hand_swaps=0.2)
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.detections.xy_px, b.detections.xy_px)
    np.testing.assert_array_equal(a.detections.conf, b.detections.conf)


def test_noise_is_as_asked(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(2), rig, hands, noise_px=1.5)
    error = (seen.detections.xy_px - seen.xy_true_px)[~seen.missing]
    # the standard deviation of N normal draws is known to sigma / sqrt(2 N)
    assert abs(error.std() - 1.5) < SIGMAS * 1.5 / np.sqrt(2 * error.size)
    assert abs(error.mean()) < SIGMAS * 1.5 / np.sqrt(error.size)
    assert seen.detections.hands == ("left", "right")
    assert (seen.detections.right[:, :, 1] > 0.9).all()


def test_without_errors_the_truth_comes_back(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(2), rig, hands, noise_px=0.0)
    valid = seen.detections.valid
    np.testing.assert_array_equal(seen.detections.xy_px[valid], rig.project(hands)[valid])
    assert valid.mean() > 0.9


def test_outliers_are_as_many_and_as_gross_as_asked(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hands, outliers=0.08, outlier_px=40)
    assert near_share(seen.outlier, 0.08)
    error = np.linalg.norm(seen.detections.xy_px - seen.xy_true_px, axis=-1)
    assert np.nanmin(error[seen.outlier]) >= 40 - 1e-9
    # 1 px noise: the chance of 6.5 px in N = 30000 points is 30000 exp(-21) = 2e-5
    assert np.nanmax(error[~seen.outlier]) < 6.5


def test_missing_points_and_hands(rig: Rig, hands: np.ndarray) -> None:
    none = observe(np.random.default_rng(3), rig, hands).missing.mean()
    seen = observe(np.random.default_rng(3), rig, hands, missing=0.1)
    assert near_share(seen.missing, 0.1 + 0.9 * none)
    np.testing.assert_array_equal(seen.missing, ~seen.detections.valid)
    assert (seen.detections.conf[seen.missing] == 0).all()
    whole = observe(np.random.default_rng(3), rig, hands, missing_hands=0.3).missing.all(-1)
    assert near_share(whole, 0.3)
    assert observe(np.random.default_rng(3), rig, hands, missing=1.0).missing.all()


def test_points_outside_the_picture_are_missing(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(3), rig, hands + np.array([0.3, 0.0, 0.0]), noise_px=0)
    size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None, None]
    outside = ~((seen.xy_true_px >= -0.5) & (seen.xy_true_px < size - 0.5)).all(-1)
    assert outside.any()
    np.testing.assert_array_equal(seen.missing, outside)


def test_swapped_fingers_carry_the_neighbours_points(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(4), rig, hands, noise_px=0, finger_swaps=0.2)
    assert near_share(seen.finger_swapped.any(-1), 0.2)
    counts = seen.finger_swapped.sum(-1)
    assert set(np.unique(counts)) == {0, 8}
    assert not seen.finger_swapped[..., :5].any()
    where = np.argwhere(seen.finger_swapped.any(-1))
    for v, f, h in where[:50]:
        first, second = np.flatnonzero(seen.finger_swapped[v, f, h]).reshape(2, 4)
        assert second[0] - first[0] == 4
        got, true = seen.detections.xy_px[v, f, h], seen.xy_true_px[v, f, h]
        both = ~np.isnan(got[[*first, *second], 0])
        np.testing.assert_array_equal(got[[*first, *second]][both], true[[*second, *first]][both])


def test_swapped_hands_exchange_slots(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(4), rig, hands, noise_px=0, hand_swaps=0.15)
    assert near_share(seen.hand_swapped, 0.15)
    true = rig.project(hands)
    got = seen.detections.xy_px
    expected = np.where(seen.hand_swapped[..., None, None, None], true[:, :, ::-1], true)
    valid = seen.detections.valid
    np.testing.assert_array_equal(got[valid], expected[valid])
    np.testing.assert_array_equal(seen.hand[..., 0] == 1, seen.hand_swapped)
    # the detector believes its own label
    assert np.nanmin(seen.detections.right[:, :, 1]) > 0.9


def test_single_hand_swap_turns_the_label(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(4), rig, hands[:, 1:], noise_px=0, hand_swaps=0.3)
    np.testing.assert_array_equal(seen.detections.right[..., 0] < 0.5, seen.hand_swapped)
    assert seen.detections.hands == ("right",)


def test_shuffled_slots_keep_label_and_points_together(rig: Rig, hands: np.ndarray) -> None:
    seen = observe(np.random.default_rng(4), rig, hands, noise_px=0, ordered=False)
    assert seen.detections.hands == ()
    assert near_share(seen.hand[..., 0] == 1, 0.5)
    right = seen.detections.right
    known = ~np.isnan(right)
    np.testing.assert_array_equal((right > 0.5)[known], (seen.hand == 1)[known])
    true = np.take_along_axis(rig.project(hands), seen.hand[..., None, None], axis=2)
    valid = seen.detections.valid
    np.testing.assert_array_equal(seen.detections.xy_px[valid], true[valid])


def test_occlusion_hides_what_lies_behind() -> None:
    """Seen along the fingers some points are hidden; seen flat on the palm none of the tips."""
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 8)
    hands = make_hand_motion(rng, 60, 1)
    hidden = occluded(rig, hands)
    assert 0.05 < hidden.mean() < 0.6
    # moving another hand in front of the first hides more of it
    towards = rig.centres_world[0] / np.linalg.norm(rig.centres_world[0])
    both = np.concatenate([hands, hands + 0.1 * towards], axis=1)
    assert occluded(rig, both)[0, :, 0].mean() > 0.8
    seen = observe(np.random.default_rng(1), rig, hands, noise_px=1.0, occlusion=4.0)
    error = seen.detections.xy_px - seen.xy_true_px
    n = np.isfinite(error[seen.occluded]).sum()
    spread = np.nanstd(error[seen.occluded])
    assert abs(spread - 4.0) < SIGMAS * 4.0 / np.sqrt(2 * n)


def test_wrong_arguments_are_named(rig: Rig, hands: np.ndarray) -> None:
    with pytest.raises(InputError, match="shares"):
        observe(np.random.default_rng(0), rig, hands, outliers=1.5)
    with pytest.raises(ShapeError, match="xyz_world"):
        observe(np.random.default_rng(0), rig, hands[0])
