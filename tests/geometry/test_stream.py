"""Takes in blocks: the same points, whatever the block, from arrays or from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multiview.geometry.robust import Search
from multiview.geometry.stream import PointArrays, measure_take, triangulate_blocks
from multiview.synth import make_rig

FRAMES, KEYPOINTS = 600, 21


@pytest.fixture(scope="module")
def take() -> tuple:
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 5)
    truth = rng.normal(0, 0.05, (FRAMES * KEYPOINTS, 3))
    xy = rig.project(truth) + rng.normal(0, 1.2, (5, len(truth), 2))
    wrong = rng.random(xy.shape[:2]) < 0.1
    xy[wrong] += rng.uniform(-200, 200, (wrong.sum(), 2))
    xy[:, :KEYPOINTS] += rng.normal(0, 6, (5, KEYPOINTS, 2))  # a frame that is blurred
    return rig, xy, np.where(wrong, 0.5, 0.9), truth


def test_blocks_of_any_size_give_the_same_points(take: tuple) -> None:
    rig, xy, conf, truth = take
    (whole, model), (parts, again) = (
        triangulate_blocks(rig, xy, conf, group=KEYPOINTS, block=b) for b in (10**6, 1000)
    )
    np.testing.assert_array_equal(parts.xyz, whole.xyz)
    np.testing.assert_array_equal(parts.cov, whole.cov)
    np.testing.assert_array_equal(parts.inlier, whole.inlier)
    np.testing.assert_array_equal(parts.trust, whole.trust)
    np.testing.assert_array_equal(again.sigma, model.sigma)
    assert np.nanmedian(np.linalg.norm(whole.xyz - truth, axis=-1)) < 0.002
    # blocks hold whole frames: the blurred one is found in either
    trace = np.trace(whole.cov, axis1=1, axis2=2)
    assert np.nanmedian(trace[:KEYPOINTS]) > 4 * np.nanmedian(trace)


def test_files_in_memory_maps_are_read_and_written(take: tuple, tmp_path: Path) -> None:
    rig, xy, conf, _ = take
    n, views = xy.shape[1], len(xy)
    np.save(tmp_path / "xy.npy", xy)
    np.save(tmp_path / "conf.npy", conf)
    shapes = {"xyz": (n, 3), "cov": (n, 3, 3), "inlier": (views, n), "trust": (n,)}
    out = PointArrays(
        **{
            name: np.lib.format.open_memmap(
                tmp_path / f"{name}.npy",
                mode="w+",
                dtype=np.bool_ if name == "inlier" else np.float64,
                shape=shape,
            )
            for name, shape in shapes.items()
        }
    )
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("xy", "conf")]
    triangulate_blocks(rig, *mapped, group=KEYPOINTS, out=out, block=2000)
    plain, _ = triangulate_blocks(rig, xy, conf, group=KEYPOINTS)
    np.testing.assert_array_equal(np.load(tmp_path / "xyz.npy"), plain.xyz)
    np.testing.assert_array_equal(np.load(tmp_path / "inlier.npy"), plain.inlier)


def test_a_take_is_measured_where_something_was_seen(take: tuple) -> None:
    rig, xy, conf, _ = take
    mostly = np.full((5, 40 * xy.shape[1], 2), np.nan)
    mostly[:, : xy.shape[1]] = xy
    sure = np.tile(conf, (1, 40))
    model = measure_take(rig, mostly, sure, Search(), group=KEYPOINTS)
    assert abs(np.median(model.sigma_px) / 1.2 - 1) < 0.1
    none = triangulate_blocks(rig, np.full_like(xy, np.nan), None, group=KEYPOINTS)[0]
    assert np.isnan(none.xyz).all()
    assert triangulate_blocks(rig, xy[:, :0], conf[:, :0])[0].xyz.shape == (0, 3)
