"""Detect, triangulate, look again, triangulate: as one call and as one command."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import Scripted, write_take

import multiview as mv
from multiview.cli import main
from multiview.errors import InputError
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig
from multiview.models.base import ImageHands
from multiview.prediction import missed_hands, within_picture
from multiview.stages import detect as detect_stage
from multiview.stages import guide as guide_stage
from multiview.synth import make_hand_motion, make_rig

FRAMES, VIEWS, BLIND = 5, 5, 3


class HalfBlind(Scripted):
    """Finds both hands by itself in every camera but one, and there when it is shown where."""

    def detect(self, image, rois=None):
        if rois is not None:
            return super().detect(image, rois)
        v, f = int(image[0, 0, 0]), int(image[0, 8, 0])
        xy = self.xy[v, f] if v != BLIND else self.xy[v, f][:0]
        return ImageHands(
            xy_px=xy,
            conf=np.full(xy.shape[:2], 0.9),
            handedness=np.array(self.right)[: len(xy)],
            presence=np.full(len(xy), 0.9),
            rois=np.tile([10.0, 10, 5, 0], (len(xy), 1)),
        )

    def detect_batch(self, images, rois=None):
        rois = rois if rois is not None else [None] * len(images)
        return [self.detect(i, r) for i, r in zip(images, rois, strict=True)]


@pytest.fixture
def scene(tmp_path):
    rig = make_rig(np.random.default_rng(0), VIEWS, view_m=0.6, size_wh=(320, 240))
    xy = rig.project(make_hand_motion(np.random.default_rng(1), FRAMES, 2))
    take = write_take(tmp_path / "take", rig, FRAMES)
    write_rig(rig, tmp_path / "rig.yaml")
    return tmp_path, take, rig, xy


def test_one_call_brings_the_missed_views_back(scene):
    _, take, rig, xy = scene
    once = mv.detect(take, HalfBlind(xy))
    seen = []
    twice = mv.detect(take, HalfBlind(xy), rig=rig, progress=lambda *args: seen.append(args))
    assert not once.valid[BLIND].any()
    np.testing.assert_allclose(twice.xy_px[BLIND], xy[BLIND], atol=1e-6)
    assert twice.hands == ("left", "right")
    assert {what for what, *_ in seen} == {"detect", "guide"}
    points = mv.triangulate(twice, rig)
    assert points.inlier[BLIND].all()


def test_missed_hands_are_those_in_the_picture_without_a_detection(scene):
    _, take, rig, xy = scene
    points = mv.triangulate(mv.detect(take, HalfBlind(xy)), rig)
    missed = missed_hands(points, rig)
    assert missed[BLIND].all()
    assert missed.sum() == FRAMES * 2
    # hands that lie mostly outside of the picture, or are too small, are not missed
    assert not within_picture(xy + np.array([300, 0]), take.sizes_wh).any()
    assert not within_picture(150 + xy / 50, take.sizes_wh).any()
    assert within_picture(xy, take.sizes_wh).all()
    # a camera that looks elsewhere misses nothing
    turned = rig.cameras[BLIND].cam_from_world
    away = mv.Pose(R=np.diag([1.0, -1, -1]) @ turned.R, t=np.diag([1.0, -1, -1]) @ turned.t)
    cameras = list(rig.cameras)
    cameras[BLIND] = mv.Camera(
        name=rig.names[BLIND], intrinsics=rig.cameras[BLIND].intrinsics, cam_from_world=away
    )
    assert not missed_hands(points, mv.Rig(cameras=tuple(cameras))).any()


def test_a_part_of_a_take_is_not_looked_at_twice(scene):
    _, take, rig, xy = scene
    with pytest.raises(InputError, match="sets 0 to 2 of 5, and a rig"):
        mv.detect(take, HalfBlind(xy), rig=rig, stop=2)


def test_one_command_does_all_four_steps(scene, monkeypatch, capsys):
    folder, _, rig, xy = scene
    for stage in (detect_stage, guide_stage):
        monkeypatch.setattr(stage, "load_detector", lambda name, **options: HalfBlind(xy))
    command = ["detect", str(folder / "take"), "--input.sync", "index", "--out", str(folder / "d")]
    assert main([*command, "--guided"]) == 2
    assert "--guided needs 3D" in capsys.readouterr().err
    assert main([*command, "--rig", str(folder / "rig.yaml"), "--guided"]) == 0
    said = capsys.readouterr().out
    assert f"{2 * FRAMES} hands were not found in pictures where the 3D puts them" in said
    assert f"--guide {folder / 'd-3d'}" in said
    report = (folder / "d-3d" / "report.md").read_text()
    assert f"| hands not found where the 3D puts them (`detect --guide`) | {2 * FRAMES} |" in report
    assert not read_detections(folder / "d" / "detections.parquet").valid[BLIND].any()
    assert read_detections(folder / "d-guided" / "detections.parquet").valid[BLIND].all()
    points = read_points(folder / "d-guided-3d" / "points.parquet")
    assert points.inlier[BLIND].all()
    assert not missed_hands(points, rig).any()
    # all is there: nothing is done again
    assert main([*command, "--rig", str(folder / "rig.yaml"), "--guided"]) == 0
    assert capsys.readouterr().out.count("is up to date") == 4


def test_guided_is_for_takes(tmp_path, capsys):
    (tmp_path / "p.jpg").write_bytes(b"")
    assert main(["detect", str(tmp_path / "p.jpg"), "--guided"]) == 2
    assert "--guided" in capsys.readouterr().err
