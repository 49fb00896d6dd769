"""What is no hand: skeletons without bones or fingers, by `mv.triangulate` and the commands."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import multiview as mv
from multiview.cli import main
from multiview.core import Detections, Rig, Skeleton
from multiview.formats.keypoints_csv import write_keypoints_csv
from multiview.geometry.refine import refine_points
from multiview.geometry.scale import subject_length
from multiview.synth import make_rig
from multiview.triangulation import TriangulationConfig, triangulate_with_report

sys.path.insert(0, str(Path(__file__).parent))
from dannce import SIZE_WH, Mouse, read_mouse

UNITS = ("finger", "keypoint")
# Labels in the files are exact reprojections of their 3D; steps of the fit end far below this.
SAME_MM = 1e-6
# Coordinates of a csv are rounded to 1e-6 px, at 0.15 mm a pixel.
CSV_MM = 1e-5
POINTS, FRAMES = 5, 40


def shared(*parts: str) -> Path:
    root = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / "shared"))
    path = root.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"shared data {'/'.join(parts)} is absent (set MULTIVIEW_SHARED)")
    return path


@pytest.fixture(scope="module", params=[1, 2])
def mouse(request: pytest.FixtureRequest) -> Mouse:
    return read_mouse(
        shared("dannce_mouse6", f"markerless_mouse_{request.param}", "label3d_demo.mat")
    )


@pytest.fixture(scope="module")
def rig() -> Rig:
    return make_rig(np.random.default_rng(0), 5)


def thing(edges: tuple[tuple[int, int], ...] = ()) -> Skeleton:
    names = tuple("abcde")
    return Skeleton(
        name="thing",
        keypoints=names,
        edges=edges,
        groups={n: (k,) for k, n in enumerate(names)},
        colors=((9, 9, 9),) * POINTS,
    )


def tumbling() -> np.ndarray:
    """Five points on a line of 0.2 m that turns and moves, (F, K, 3)."""
    angle = np.linspace(0, 3, FRAMES)
    way = np.stack([np.cos(angle), np.sin(angle), 0.3 * np.sin(2 * angle)], -1)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    return way[:, None] * np.linspace(-0.1, 0.1, POINTS)[:, None] + 0.02 * way[:, None, ::-1]


def seen(rig: Rig, xyz: np.ndarray, skeleton: Skeleton, noise_px: float = 0.0) -> Detections:
    rng = np.random.default_rng(1)
    xy = rig.project(xyz)[:, :, None]
    xy = xy + rng.normal(0, noise_px, xy.shape)
    shape = xy.shape[:-1]
    return Detections(
        xy_px=xy,
        conf=np.ones(shape),
        camera_names=rig.names,
        frame_ids=np.arange(shape[1]),
        times=np.full(shape[:2], np.nan),
        skeleton=skeleton,
        source="test",
        right=np.full(shape[:3], np.nan),
    )


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("edges", [(), ((3, 4), (0, 1))])
def test_a_thing_of_five_points_without_a_hand_in_it(
    rig: Rig, unit: str, edges: tuple[tuple[int, int], ...]
) -> None:
    xyz, noise = tumbling(), 1.0
    dets = seen(rig, xyz, thing(edges), noise)
    # each picture lacks some points: a palm, which association would ask for, is never whole
    gap = np.random.default_rng(2).random(dets.conf.shape) < 0.3
    dets = replace(dets, xy_px=np.where(gap[..., None], np.nan, dets.xy_px))
    points, report = triangulate_with_report(dets, rig, TriangulationConfig(unit=unit))
    assert (points.hands, report.moved) == (("1",), 0)
    three = (~gap).sum(0)[:, 0] >= 3
    assert points.valid[:, 0][three].mean() > 0.95
    # the farthest points of a line of 0.2 m
    assert abs(report.hand_length / 0.2 - 1) < 0.05
    # 0.45 m over 720 px from 1.2 m away; 3 views at least, of which some are close together
    error = np.linalg.norm(points.xyz_world[:, 0] - xyz, axis=-1)
    assert np.nanmedian(error) < 3 / np.sqrt(2) * noise * 0.45 / 720 / np.sqrt(3)


def test_length_is_not_that_of_bones_in_any_order(rig: Rig) -> None:
    xy = rig.undistort(rig.project(tumbling()))
    assert abs(subject_length(rig, xy, thing()) - 0.2) < 1e-9
    assert abs(subject_length(rig, xy, thing(((3, 4), (2, 3)))) - 0.2) < 1e-9
    assert subject_length(rig, np.full_like(xy, np.nan), thing()) == 0
    one = xy.copy()
    one[..., 1:, :] = np.nan
    assert subject_length(rig, one, thing()) == 0


@pytest.mark.parametrize("unit", UNITS)
def test_labelled_mice_are_where_their_labels_say(mouse: Mouse, unit: str) -> None:
    points = mv.triangulate(mouse.labels, mouse.rig, TriangulationConfig(unit=unit))
    there = np.isfinite(mouse.xyz).all(-1)
    np.testing.assert_array_equal(points.valid[:, 0], there)
    assert points.voted[points.valid].all()
    np.testing.assert_allclose(points.xyz_world[:, 0][there], mouse.xyz[there], atol=SAME_MM)
    assert points.err_px[points.inlier].max() < SAME_MM


@pytest.mark.parametrize("unit", UNITS)
def test_mice_with_the_errors_of_a_detector(mouse: Mouse, unit: str) -> None:
    rng, noise = np.random.default_rng(0), 2.0
    d = mouse.labels
    wrong = (rng.random(d.conf.shape) < 0.1) & d.valid
    far = rng.uniform(0, SIZE_WH, d.xy_px.shape)
    xy = np.where(wrong[..., None], far, d.xy_px + rng.normal(0, noise, d.xy_px.shape))
    points = mv.triangulate(replace(d, xy_px=xy), mouse.rig, TriangulationConfig(unit=unit))
    error = np.linalg.norm(points.xyz_world[:, 0] - mouse.xyz, axis=-1)
    assert np.isfinite(error).sum() > 0.97 * np.isfinite(mouse.xyz[..., 0]).sum()
    # least squares on the views that are right, which nobody is told
    flat, right = xy.reshape(len(xy), -1, 2), (d.valid & ~wrong).reshape(len(xy), -1)
    best = refine_points(mouse.rig, mouse.xyz.reshape(-1, 3), flat, right)
    least = np.linalg.norm(best - mouse.xyz.reshape(-1, 3), axis=-1)
    for quantile, more in ((50, 1.05), (95, 1.15)):
        assert np.nanpercentile(error, quantile) < more * np.nanpercentile(least, quantile)
    assert points.inlier[wrong].mean() < 0.02


def test_mice_by_the_commands(mouse: Mouse, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mv.save(mouse.rig, tmp_path / "rig.yaml")
    write_keypoints_csv(mouse.labels, tmp_path / "labels.csv")
    convert = ["convert", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "dets.parquet")]
    assert main(convert) == 0
    triangulate = ["triangulate", str(tmp_path / "dets.parquet")]
    triangulate += ["--rig", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "tri")]
    assert main(triangulate) == 0
    assert "error" not in capsys.readouterr().err
    points = mv.load(tmp_path / "tri" / "points.parquet")
    there = np.isfinite(mouse.xyz).all(-1)
    order = [points.skeleton.keypoints.index(n) for n in mouse.labels.skeleton.keypoints]
    np.testing.assert_allclose(points.xyz_world[:, 0, order][there], mouse.xyz[there], atol=CSV_MM)
    report = (tmp_path / "tri" / "report.md").read_text()
    assert "largest distance of two keypoints" in report
    assert "wrist" not in report
