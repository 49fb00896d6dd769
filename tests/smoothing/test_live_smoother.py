"""The causal filter: what it gains, that it looks back only, and how little it trails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from smoothing_scenes import Scene, calm_hand, error_mm, fall, flick, make_scene

from multiview.errors import InputError
from multiview.smoothing.live import LiveSmoother

FRAMES, FPS = 120, 30.0


def run(xyz: np.ndarray, cov: np.ndarray, fps: float = FPS) -> tuple[np.ndarray, np.ndarray]:
    smoother = LiveSmoother()
    pairs = [smoother.update(f / fps, x, c) for f, (x, c) in enumerate(zip(xyz, cov, strict=True))]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(calm_hand(FRAMES), 6)


def hand(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return scene.points.xyz_world[:, 0], scene.points.cov[:, 0]


def test_points_are_nearer_and_covariances_honest(scene: Scene) -> None:
    xyz, cov = run(*hand(scene))
    before = error_mm(scene.points, scene)[:, 0]
    after = 1000 * np.linalg.norm(xyz - scene.truth[:, 0], axis=-1)
    assert np.nanmedian(after) < 0.85 * np.nanmedian(before)
    ok = np.isfinite(after)
    off = (xyz - scene.truth[:, 0])[ok]
    square = np.einsum("ni,nij,nj->n", off, np.linalg.inv(cov[ok]), off)
    for share in (0.68, 0.95):
        assert abs((square < chi2.ppf(share, 3)).mean() - share) < 0.09


def test_it_looks_back_only_and_fills_nothing(scene: Scene) -> None:
    xyz, cov = hand(scene)
    whole, part = run(xyz, cov), run(xyz[:50], cov[:50])
    np.testing.assert_array_equal(part[0], whole[0][:50])
    np.testing.assert_array_equal(np.isfinite(whole[0]), np.isfinite(xyz))


@pytest.mark.parametrize("motion", [flick, fall])
def test_fast_motion_is_followed_at_once(motion) -> None:
    scene = make_scene(calm_hand(FRAMES) + motion(FRAMES, 55), 6, seed=4)
    xyz, _ = run(*hand(scene))
    quick = slice(50, 76)
    before = error_mm(scene.points, scene)[quick, 0]
    after = 1000 * np.linalg.norm(xyz - scene.truth[:, 0], axis=-1)[quick]
    assert np.nanmedian(after) < 1.02 * np.nanmedian(before)
    assert np.nanpercentile(after, 95) < 1.1 * np.nanpercentile(before, 95)
    v = np.gradient(scene.truth[:, 0], axis=0)[quick] * FPS
    off = (scene.truth[:, 0] - xyz)[quick]
    ok = np.isfinite(off)
    # less than a millisecond of the 33 between frames
    assert abs((off[ok] * v[ok]).sum() / (v[ok] ** 2).sum()) < 1e-3


def test_units_of_length_and_time_change_nothing(scene: Scene) -> None:
    xyz, cov = hand(scene)
    one, other = run(xyz, cov), run(1000 * xyz, 1e6 * cov)
    np.testing.assert_allclose(other[0] / 1000, one[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other[1] / 1e6, one[1], rtol=1e-6)


def test_a_keypoint_starts_afresh_after_a_gap() -> None:
    smoother, still = LiveSmoother(reset_s=0.2), np.zeros((2, 3))
    cov = np.tile(np.eye(3), (2, 1, 1))
    for f in range(30):
        smoother.update(f / FPS, still, cov)
    gone = np.array([[np.nan] * 3, [0.0] * 3])
    for f in range(30, 40):
        out, _ = smoother.update(f / FPS, gone, cov)
        assert np.isnan(out[0]).all()
    back = np.array([[3.0, 0, 0], [3.0, 0, 0]])
    out, var = smoother.update(40 / FPS, back, cov)
    # the one that was away is believed; of the other, noise is as likely as a move
    np.testing.assert_allclose(out[0], back[0], atol=1e-6)
    np.testing.assert_allclose(var[0], np.eye(3), atol=1e-6)
    assert out[1, 0] < 2


def test_what_does_not_fit_is_refused() -> None:
    xyz, cov = np.zeros((2, 3)), np.tile(np.eye(3), (2, 1, 1))
    smoother = LiveSmoother()
    out, _ = smoother.update(0.0, np.full((2, 3), np.nan), cov)
    assert np.isnan(out).all()
    smoother.update(0.1, xyz, cov)
    with pytest.raises(InputError, match="increasing times"):
        smoother.update(0.1, xyz, cov)
    with pytest.raises(InputError, match="3 keypoints after 2"):
        smoother.update(0.2, np.zeros((3, 3)), np.tile(np.eye(3), (3, 1, 1)))
    with pytest.raises(InputError, match="reset_s"):
        LiveSmoother(reset_s=0)
