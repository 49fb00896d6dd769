"""3D errors under known alignments, and coverage of true covariances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multiview.evaluation.keypoints_3d import coverage, errors_3d, figures_3d
from multiview.synth import make_hand_motion

SIGMAS = 5.0


@pytest.fixture(scope="module")
def hand():
    return make_hand_motion(np.random.default_rng(0), 6, 2)


def test_a_shift_is_no_relative_error(hand):
    e = errors_3d(hand + np.array([0.003, 0.004, 0]), hand)
    np.testing.assert_allclose(e["absolute"], 0.005, rtol=1e-9)
    np.testing.assert_allclose(e["root_relative"], 0, atol=1e-12)
    np.testing.assert_allclose(e["aligned"], 0, atol=1e-12)


def test_a_similarity_is_no_aligned_error(hand):
    R = Rotation.from_rotvec([0.2, 0.1, -0.3]).as_matrix()
    e = errors_3d(1.1 * hand @ R.T + 0.2, hand)
    np.testing.assert_allclose(e["aligned"], 0, atol=1e-12)
    wrist = hand[..., [0], :]
    expected = np.linalg.norm((1.1 * (hand - wrist) @ R.T) - (hand - wrist), axis=-1)
    np.testing.assert_allclose(e["root_relative"], expected, rtol=1e-9)
    assert e["absolute"].min() > 0.1


def test_missing_points(hand):
    part = hand.copy()
    part[0, 0, 0] = np.nan  # a wrist
    part[1, 1, 4] = np.nan
    e = errors_3d(part + np.array([0.01, 0, 0]), hand)
    assert np.isnan(e["root_relative"][0, 0]).all()
    assert np.isfinite(e["absolute"]).sum() == hand[..., 0].size - 2
    f = figures_3d({n: 1000 * x for n, x in e.items()}, np.ones(hand.shape[:3], bool))
    assert f["recovered"] == 1 - 2 / hand[..., 0].size
    assert f["mpjpe_mm"] == pytest.approx(10)
    # 10 mm: all of 20-50, four fifths of 0-50, of what was recovered
    assert f["mpjpe_auc_20_50"] == pytest.approx(f["recovered"])
    assert f["mpjpe_auc_0_50"] == pytest.approx(0.8 * f["recovered"], abs=1 / 500)
    assert f["pa_mpjpe_mm"] < 1e-9


def test_right_covariances_hold_their_share():
    rng, n = np.random.default_rng(1), 20_000
    A = rng.normal(size=(n, 3, 3)) + 2 * np.eye(3)
    cov = A @ np.swapaxes(A, 1, 2)
    off = (A @ rng.normal(size=(n, 3, 1)))[..., 0]
    for name, share in (("within_68", 0.68), ("within_95", 0.95)):
        spread = np.sqrt(share * (1 - share) / n)
        assert abs(coverage(off, cov)[name] - share) < SIGMAS * spread
        assert coverage(2 * off, cov)[name] < share - 0.1
