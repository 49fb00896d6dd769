"""`multiview detect TAKE --rig RIG`: 3D beside detection, the same as of two commands."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest
from scripted import Scripted, write_take

from multiview.cli import main
from multiview.errors import InputError
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig
from multiview.models.base import ImageHands
from multiview.stages import detect as stage
from multiview.stages import live
from multiview.stages.detect import run_detect
from multiview.stages.triangulate import run_triangulate
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig

FRAMES, VIEWS, SHARD = 6, 4, 2


class Finder(Scripted):
    """Finds all hands of a picture without being told where."""

    def detect_batch(self, images, rois=None):
        return [self.detect(image) for image in images]

    def detect(self, image, rois=None):
        v, f = int(image[0, 0, 0]), int(image[0, 8, 0])
        self.asked.append((v, f))
        xy = self.xy[v, f] + np.random.default_rng(100 * v + f).normal(0, 0.5, self.xy[v, f].shape)
        return ImageHands(
            xy_px=xy,
            conf=np.full(xy.shape[:2], 0.9),
            handedness=np.array(self.right),
            presence=np.full(len(xy), 0.9),
            rois=np.tile([10.0, 10, 5, 0], (len(xy), 1)),
        )


@pytest.fixture
def scene(tmp_path, monkeypatch):
    rig = make_rig(np.random.default_rng(0), VIEWS, view_m=0.6, size_wh=(320, 240))
    xy = rig.project(make_hand_motion(np.random.default_rng(1), FRAMES, 2))
    take = write_take(tmp_path / "take", rig, FRAMES)
    write_rig(rig, tmp_path / "rig.yaml")
    network = Finder(xy)
    monkeypatch.setattr(stage, "load_detector", lambda name, **options: network)
    monkeypatch.setattr(stage, "SHARD_SETS", SHARD)
    return tmp_path, take, rig, network


def test_the_result_is_that_of_the_two_stages(scene, capsys):
    folder, take, _, _ = scene
    run_detect(take, folder / "d", rig_path=folder / "rig.yaml", workers=1)
    said = capsys.readouterr().out
    assert re.findall(r"provisional\), sets (\d) to (\d): 2 with a hand", said) == [
        ("0", "1"),
        ("2", "3"),
    ]
    run_detect(take, folder / "alone", workers=1)
    config = TriangulationConfig()
    run_triangulate(folder / "alone", folder / "rig.yaml", folder / "alone-3d", config)
    beside, after = (read_points(folder / n / "points.parquet") for n in ("d-3d", "alone-3d"))
    for name in ("xyz_world", "cov", "inlier", "err_px", "voted"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(after, name))
    assert np.isfinite(beside.xyz_world).all()
    assert sorted(p.name for p in (folder / "d").iterdir()) == [
        "detections.parquet",
        "manifest.json",
    ]


def test_a_part_is_triangulated_while_the_next_is_detected(scene, monkeypatch):
    """The first part's 3D waits until the second part has begun: one after the other would hang."""
    folder, take, _, network = scene
    begun, seen = threading.Event(), []
    original, triangulate = network.detect, live.triangulate

    def detect(image, rois=None):
        if int(image[0, 8, 0]) >= SHARD:
            begun.set()
        return original(image)

    def wait(dets, rig):
        assert begun.wait(20), "the next part was not begun"
        seen.append(threading.current_thread().name)
        return triangulate(dets, rig)

    monkeypatch.setattr(network, "detect", detect)
    monkeypatch.setattr(live, "triangulate", wait)
    run_detect(take, folder / "d", rig_path=folder / "rig.yaml", workers=1)
    assert len(seen) == FRAMES // SHARD - 1
    assert all(name.startswith("triangulate") for name in seen)


def test_provisional_points_are_there_while_it_runs(scene, monkeypatch):
    folder, take, _, network = scene
    original, files = network.detect, []
    first = folder / "d.partial" / "provisional-shard-00000.parquet"

    def detect(image, rois=None):
        if int(image[0, 8, 0]) == FRAMES - 1:
            until = time.monotonic() + 20
            while not first.exists() and time.monotonic() < until:
                time.sleep(0.01)
            files.append(read_points(first))
            raise KeyboardInterrupt
        return original(image)

    monkeypatch.setattr(network, "detect", detect)
    with pytest.raises(KeyboardInterrupt):
        run_detect(take, folder / "d", rig_path=folder / "rig.yaml", workers=1)
    assert files[0].valid.all()
    assert len(files[0].frame_ids) == SHARD
    assert not (folder / "d-3d").exists()
    # and it goes on from there
    monkeypatch.setattr(network, "detect", original)
    network.asked.clear()
    run_detect(take, folder / "d", rig_path=folder / "rig.yaml", workers=1)
    assert {f for _, f in network.asked} == {4, 5}
    assert (folder / "d-3d" / "points.parquet").exists()


def test_the_3d_of_a_finished_detection_is_made_later(scene, capsys):
    folder, take, _, network = scene
    run_detect(take, folder / "d", workers=1)
    network.asked.clear()
    run_detect(take, folder / "d", rig_path=folder / "rig.yaml")
    assert network.asked == []
    assert (folder / "d-3d" / "points.parquet").exists()
    assert "is up to date" in capsys.readouterr().out


def test_what_fails_beside_is_not_swallowed(scene, monkeypatch):
    folder, take, _, _ = scene

    def fails(dets, rig):
        raise InputError("no 3D today", "wait")

    monkeypatch.setattr(live, "triangulate", fails)
    with pytest.raises(InputError, match="no 3D today"):
        run_detect(take, folder / "d", rig_path=folder / "rig.yaml", workers=1)
    assert not (folder / "d").exists()


def lacks_a_camera(folder, rig):
    write_rig(rig.select(rig.names[:-1]), folder / "rig.yaml")


def other_size(folder, rig):
    other = make_rig(np.random.default_rng(0), VIEWS, view_m=0.6, size_wh=(640, 480))
    write_rig(other, folder / "rig.yaml")


def no_file(folder, rig):
    (folder / "rig.yaml").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(lacks_a_camera, "cam03"), (other_size, "640 x 480"), (no_file, "rig.yaml: no such file")],
)
def test_a_rig_that_does_not_fit_is_refused_before_anything_is_detected(
    scene, spoil, words, capsys
):
    folder, _, rig, network = scene
    spoil(folder, rig)
    command = ["detect", folder / "take", "--input.sync", "index", "--rig", folder / "rig.yaml"]
    assert main([*map(str, command), "--out", str(folder / "d")]) == 2
    assert words in capsys.readouterr().err
    assert network.asked == []
    assert not (folder / "d.partial").exists()
