"""Takes of more than two hands: every own format gives back what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multiview.association import associate
from multiview.bias import correct_bias, palm_frames
from multiview.bootstrap.labels import pseudo_labels
from multiview.bootstrap.samples import samples_of
from multiview.core import HAND_21, Detections, KeypointBias, Points3D, PseudoLabels, Rig
from multiview.evaluation.view_angle import hand_angles
from multiview.formats.coco import image_name, read_coco, write_coco
from multiview.formats.coco_results import read_coco_results
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.points_parquet import read_points, write_points
from multiview.formats.samples_parquet import read_samples, write_samples
from multiview.synth import join_candidates, make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate

NAMES = ("left-1", "right-1", "left-2", "right-2")


@pytest.fixture(scope="module")
def take() -> tuple[Rig, Detections, Points3D]:
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 5, view_m=1.1)
    seen = []
    for y in (-0.15, 0.15):
        hands = make_hand_motion(rng, 12, 2, reach_m=0.02, centre_world=(0.0, y, 0.0))
        seen.append(observe(rng, rig, hands, ordered=False))
    crowd = join_candidates(rng, seen).detections
    points = triangulate(crowd, rig, TriangulationConfig(unit="keypoint", max_hands=4))
    return rig, associate(crowd, rig, 4).detections, points


def same(a: object, b: object, fields: tuple[str, ...]) -> None:
    for name in fields:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_detections_and_points(take: tuple[Rig, Detections, Points3D], tmp_path: Path) -> None:
    _, dets, points = take
    assert dets.hands == points.hands == NAMES
    assert points.valid.any((0, 2)).all()
    again = read_detections(write_detections(dets, tmp_path / "d.parquet"))
    same(again, dets, ("xy_px", "conf", "right", "hands", "frame_ids"))
    back = read_points(write_points(points, tmp_path / "p.parquet"))
    same(back, points, ("xyz_world", "cov", "inlier", "err_px", "hands"))


def test_labels(take: tuple[Rig, Detections, Points3D], tmp_path: Path) -> None:
    rig, dets, points = take
    labels: PseudoLabels = pseudo_labels(points, dets, rig)
    path = write_coco(labels, tmp_path / "coco.json")
    back = read_coco(path)
    assert back.hands == NAMES
    same(back, labels, ("keep",))
    # read as another program's results, the side is still known
    tables = read_coco_results(path)
    right = np.concatenate([t.right for t in tables])
    want = labels.keep.sum((0, 1))
    assert (right == 1).sum() == want[1] + want[3]
    assert (right == 0).sum() == want[0] + want[2]


def test_hands_of_the_take_are_kept_as_they_are(take: tuple[Rig, Detections, Points3D]) -> None:
    rig, dets, points = take
    again = triangulate(dets, rig, TriangulationConfig(unit="keypoint"))
    np.testing.assert_array_equal(again.valid, points.valid)
    few = replace(dets, hands=())
    assert triangulate(few, rig, TriangulationConfig(unit="keypoint")).hands == ("left", "right")


def test_samples_and_their_data_sets(
    take: tuple[Rig, Detections, Points3D], tmp_path: Path
) -> None:
    """The numbers of hands of a side hide its side from nobody who trains on them."""
    rig, dets, points = take
    labels = pseudo_labels(points, dets, rig)
    samples = samples_of(labels, points, dets, rig, image_name=image_name)
    _, _, h = np.nonzero(labels.keep.transpose(1, 0, 2))
    assert set(h.tolist()) == {0, 1, 2, 3}
    np.testing.assert_array_equal(samples.right, h % 2)
    back = read_samples(write_samples(samples, tmp_path / "s.parquet"))
    np.testing.assert_array_equal(back.right, samples.right)


def test_the_palm_of_a_numbered_left_hand(take: tuple[Rig, Detections, Points3D]) -> None:
    rig, _, points = take
    to_camera, _ = hand_angles(rig, points.xyz_world, points.hands)
    plain, _ = hand_angles(rig, points.xyz_world[:, :2], ("left", "right"))
    np.testing.assert_array_equal(to_camera[:, :, :2], plain)
    offset = np.zeros((21, 3))
    offset[8] = 0.0, 0.0, 0.1
    bias = KeypointBias(
        keypoints=HAND_21.keypoints, offset=offset, sigma=np.full((21, 3), 0.001), poses=100
    )
    by = (correct_bias(points, bias).points.xyz_world - points.xyz_world)[:, :, 8]
    left = np.broadcast_to([True, False, True, False], by.shape[:2]).ravel()
    normal = palm_frames(points.xyz_world.reshape(-1, 21, 3), left)[..., 2]
    along = (by.reshape(-1, 3) * normal).sum(-1)
    assert np.nanmax(along) < 0 < np.isfinite(along).sum()
