"""Terms of the most probable path: differences, bones, and that its gradient is 0."""

from __future__ import annotations

import numpy as np
from smoothing_scenes import calm_hand, make_scene

from multiview.core import HAND_21
from multiview.smoothing.bones import Bones, add_bones, measure_bones
from multiview.smoothing.path import Views, divided_differences, find_path, runs

FRAMES = 30


def test_divided_differences_are_third_derivatives_at_any_times() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.5, 2, 12))
    c = divided_differences(times)
    for power, third in ((0, 0.0), (1, 0.0), (2, 0.0), (3, 6.0)):
        x = (times - 3) ** power
        found = sum(c[:, a] * x[a : a + len(c)] for a in range(4))
        np.testing.assert_allclose(found, third, atol=1e-9)


def test_the_most_probable_path_has_no_slope_left() -> None:
    """Central differences of the whole cost, written out, at the path that was found."""
    scene = make_scene(calm_hand(FRAMES), 4, missing=0.0, outliers=0.0)
    rng = np.random.default_rng(0)
    sigma = np.array([1.0, 1.5, 2.0, 1.2])
    xy = np.ascontiguousarray(scene.dets.xy_px.reshape(4, -1, 2))
    role = np.isfinite(xy[..., 0]).astype(np.int8)
    views = Views(scene.rig, xy, sigma, role)
    times = np.cumsum(rng.uniform(0.6, 1.4, FRAMES))
    precision = 10.0 ** rng.uniform(5, 7, (FRAMES - 3, 21))
    edges = np.array(HAND_21.edges)
    bones = Bones(edges[:, 0], edges[:, 1], np.full(20, 0.05), np.full(20, 0.01**2))
    start = scene.truth[:, 0] + rng.normal(0, 1e-3, (FRAMES, 21, 3))
    active = np.ones((FRAMES, 21), bool)
    path = find_path(views, start, active, times, precision, bones, FRAMES)
    assert path.step < 1e-3
    c = divided_differences(times)

    def cost(xyz: np.ndarray) -> float:
        off = (scene.rig.project(xyz.reshape(-1, 3)) - xy) / sigma[:, None, None]
        e = sum(c[:, a, None, None] * xyz[a : a + len(c)] for a in range(4))
        length = np.linalg.norm(xyz[:, edges[:, 1]] - xyz[:, edges[:, 0]], axis=-1)
        bone = 4 * np.log1p((length - 0.05) ** 2 / (4 * 0.01**2))  # Student's t, 4 degrees
        return float(np.nansum(off**2) + (precision[..., None] * e**2).sum() + bone.sum()) / 2

    step = 1e-6
    for f, k, i in rng.integers((0, 0, 0), (FRAMES, 21, 3), (12, 3)):
        e = np.zeros_like(path.xyz)
        e[f, k, i] = step
        slope = (cost(path.xyz + e) - cost(path.xyz - e)) / (2 * step)
        # in units of the point's own deviation: what is left moves it by a hundredth of that
        assert abs(slope) * np.sqrt(path.cov[f, k, i, i]) < 1e-2


def test_bone_terms_are_the_slope_of_their_cost() -> None:
    rng = np.random.default_rng(1)
    xyz, on = rng.normal(size=(2, 3, 3)), np.ones((2, 3), bool)
    bones = Bones(np.array([0, 1]), np.array([1, 2]), np.array([1.0, 2.0]), np.array([0.1, 0.3]))

    def cost(x: np.ndarray) -> float:
        length = np.linalg.norm(x[:, [1, 2]] - x[:, [0, 1]], axis=-1)
        return float(2 * np.log1p((length - bones.length) ** 2 / (4 * bones.variance)).sum())

    blocks, right = np.zeros((2, 3, 3, 3, 3)), np.zeros((2, 3, 3))
    add_bones(bones, xyz, on, blocks, right)
    for at in np.ndindex(xyz.shape):
        e = np.zeros_like(xyz)
        e[at] = 1e-6
        slope = (cost(xyz + e) - cost(xyz - e)) / 2e-6
        np.testing.assert_allclose(-right[at], slope, atol=1e-7)
    whole = blocks.reshape(2, 9, 9)
    np.testing.assert_allclose(whole, np.swapaxes(whole, 1, 2))
    assert np.linalg.eigvalsh(whole).min() > -1e-12


def test_bones_are_measured_without_the_noise_of_their_ends() -> None:
    rng = np.random.default_rng(2)
    frames, noise = 4000, 2e-3
    truth = calm_hand(frames)[:, 0]
    xyz = truth + rng.normal(0, noise, truth.shape)
    cov = np.broadcast_to(noise**2 * np.eye(3), (frames, 21, 3, 3))
    bones = measure_bones(xyz, cov, np.ones((frames, 21), bool), HAND_21, np.ones(21))
    assert bones is not None
    length = np.where(bones.parent == 0, 0.08, 0.03)
    # noise across a bone of 30 mm lengthens it by 0.13 mm, which 4000 frames would show
    np.testing.assert_allclose(bones.length, length, atol=1.5e-4)
    assert (np.sqrt(bones.variance) < noise / 2).all()
    # a bone that does vary is not held
    xyz[:, 4] += rng.normal(0, 6e-3, (frames, 3))
    loose = measure_bones(xyz, cov, np.ones((frames, 21), bool), HAND_21, np.ones(21))
    assert loose is not None
    assert np.sqrt(loose.variance[3]) > 5e-3


def test_runs_are_stretches_of_true() -> None:
    assert list(runs(np.array([1, 1, 0, 1, 0, 0, 1], bool))) == [(0, 2), (3, 4), (6, 7)]
