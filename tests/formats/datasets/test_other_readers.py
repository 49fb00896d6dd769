"""What other programs read from our datasets: pycocotools, sleap-io, and parsers of our own."""

from __future__ import annotations

import contextlib
import io
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from dataset_take import make_take
from test_round_trips import paired

from multiview.core import HandSamples
from multiview.core.samples import make_samples
from multiview.formats.datasets import save_dataset
from multiview.images import read_image

needs_sleap = pytest.mark.skipif(
    find_spec("sleap_io") is None, reason="sleap-io (extra sleap) is absent"
)
needs_coco = pytest.mark.skipif(
    find_spec("pycocotools") is None, reason="pycocotools (extra test) is absent"
)
Take = tuple[HandSamples, Path]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    root = tmp_path_factory.mktemp("labels")
    return make_take(root), root


def oks_ap(path: Path, move: float = 0.0, swap: bool = False) -> float:
    """AP of the labels as detections of themselves, as pycocotools computes it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        results = []
        for a in truth.dataset["annotations"]:
            points = np.array(a["keypoints"]).reshape(-1, 3)
            points[:, 0] += move * np.sqrt(a["area"])
            points = points[[*range(5, 9), *range(1, 5), 0, *range(9, 21)]] if swap else points
            results.append(
                {k: a[k] for k in ("image_id", "category_id")}
                | {"keypoints": points.ravel().tolist(), "score": 1.0}
            )
        run = COCOeval(truth, truth.loadRes(results), "keypoints")
        # of a hand: a twentieth of its size, as of a wrist of a person
        run.params.kpt_oks_sigmas = np.full(21, 0.05)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


@needs_coco
def test_pycocotools_finds_the_labels_perfect(take: Take, tmp_path: Path) -> None:
    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "coco", pictures=root)
    for split in ("train", "val"):
        file = path / "annotations" / f"{split}.json"
        assert oks_ap(file) == 1.0
        # and would notice labels that are moved, or fingers in another order
        assert oks_ap(file, move=0.1) < 0.5
        assert oks_ap(file, swap=True) < 0.5
        for image in json.loads(file.read_text())["images"]:
            assert read_image(path / "images" / image["file_name"]).shape[1] == image["width"]


@needs_coco
def test_pycocotools_reads_the_whole_body_layout(take: Take, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "wholebody", pictures=root)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path / "annotations" / "train.json"))
    here = samples.take(samples.split == "train")
    people = coco.loadAnns(coco.getAnnIds())
    hands = [
        (p[f"{side}hand_kpts"], p[f"{side}hand_box"], right)
        for p in people
        for right, side in ((0.0, "left"), (1.0, "right"))
        if p[f"{side}hand_valid"]
    ]
    assert len(hands) == len(here)
    assert len(people) == len(set(here.image.tolist()))
    # the sizes that readers of COCO-WholeBody cut out: 17 + 6 + 68 + 21 + 21 = 133 points
    assert {len(p["keypoints"]) + len(p["foot_kpts"]) + len(p["face_kpts"]) for p in people} == {
        3 * (133 - 42)
    }
    for right in (0.0, 1.0):
        points = np.array([k for k, _, r in hands if r == right]).reshape(-1, 21, 3)
        ours = here.take(here.right == right)
        # annotations are in the order of the samples
        np.testing.assert_array_equal(points[..., 2], ours.visibility)
        shown = ours.labelled
        np.testing.assert_allclose(points[..., :2][shown], ours.xy_px[shown], atol=1e-3)


def yolo_hands(path: Path) -> list[dict[str, Any]]:
    """Read YOLO-pose as its documentation states it, with nothing of our reader."""
    about = yaml.safe_load((path / "data.yaml").read_text())
    k, numbers = about["kpt_shape"]
    assert about["flip_idx"] == list(range(k))
    assert about["names"] == {0: "hand"}
    hands = []
    for split in ("train", "val"):
        folder = path / about[split]
        assert folder.is_dir()
        for picture in sorted(folder.iterdir()):
            height, width = read_image(picture).shape[:2]
            label = str(picture).replace(f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}")
            text = Path(label).with_suffix(".txt").read_text()
            for line in text.splitlines():
                row = np.array(line.split(), float)
                assert row.size == 5 + k * numbers
                assert row[0] == 0
                points = row[5:].reshape(k, numbers)
                assert ((row[1:5] >= 0) & (row[1:5] <= 1)).all()
                assert ((points[:, :2] >= 0) & (points[:, :2] <= 1)).all()
                assert (points[points[:, 2] == 0] == 0).all()
                hands.append(
                    {
                        "split": split,
                        # the corner of the picture is (0, 0) there, the first pixel's centre here
                        "xy": points[:, :2] * (width, height) - 0.5,
                        "seen": points[:, 2],
                        "box": row[1:5] * (width, height, width, height),
                    }
                )
    return hands


def test_yolo_as_documented(take: Take, tmp_path: Path) -> None:
    samples, root = take
    hands = yolo_hands(save_dataset(samples, tmp_path / "d", "yolo", pictures=root))
    assert len(hands) == len(samples)
    seen = np.array([h["seen"] for h in hands])
    again = make_samples(
        xy_px=np.where(seen[..., None] > 0, [h["xy"] for h in hands], np.nan),
        visibility=seen,
        image=[""] * len(hands),
        size_wh=samples.size_wh,
        split=[h["split"] for h in hands],
        box_xywh=[h["box"] for h in hands],
    )
    again = paired(again, samples)
    shown = samples.labelled
    np.testing.assert_allclose(again.xy_px[shown], samples.xy_px[shown], atol=1e-3)
    np.testing.assert_array_equal(again.visibility, samples.visibility)
    np.testing.assert_array_equal(again.split, samples.split)
    centre = samples.box_xywh[:, :2] + samples.box_xywh[:, 2:] / 2
    np.testing.assert_allclose(again.box_xywh[:, :2] - 0.5, centre, atol=1e-3)
    np.testing.assert_allclose(again.box_xywh[:, 2:], samples.box_xywh[:, 2:], atol=1e-3)


def test_mirroring_keeps_the_fingers(take: Take, tmp_path: Path) -> None:
    """What a trainer does with flip_idx: the mirrored thumb is labelled a thumb."""
    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "yolo", pictures=root)
    flip = yaml.safe_load((path / "data.yaml").read_text())["flip_idx"]
    hand = next(h for h in yolo_hands(path) if h["seen"].all())
    mirrored = hand["xy"].copy()
    mirrored[:, 0] = 319 - mirrored[:, 0]
    labelled = mirrored[flip]
    thumb = samples.skeleton.groups["thumb"]
    np.testing.assert_array_equal(labelled[list(thumb)], mirrored[list(thumb)])


@needs_sleap
def test_sleap_io_reads_the_slp(take: Take, tmp_path: Path, monkeypatch: Any) -> None:
    import sleap_io

    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "slp", pictures=root)
    monkeypatch.chdir(path)  # it looks for pictures from there
    for split in ("train", "val"):
        labels = sleap_io.load_slp(f"{split}.slp")
        here = samples.take(samples.split == split)
        assert list(labels.skeleton.node_names) == list(samples.skeleton.keypoints)
        instances = [(f, i) for f in labels for i in f.user_instances]
        assert len(instances) == len(here)
        assert len(labels.videos) == 3
        found = {
            (Path(f.video.filename[f.frame_idx]).as_posix(), i.track.name): i.numpy()
            for f, i in instances
        }
        for n in range(len(here)):
            name = f"images/take-1/{here.camera[n]}/{here.frame_id[n]:06d}.jpg"
            side = "right" if here.right[n] else "left"
            np.testing.assert_array_equal(found[name, side], here.xy_px[n])
        assert labels[0].image.shape[:2] == (240, 320)


@needs_sleap
def test_sleap_io_reads_the_deeplabcut_table(take: Take, tmp_path: Path) -> None:
    import sleap_io

    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "deeplabcut", pictures=root)
    count = 0
    for table in sorted((path / "labeled-data").glob("*/CollectedData_*.csv")):
        labels = sleap_io.load_dlc(str(table))
        camera = table.parent.name.removeprefix("take-1_")
        names = list(labels.skeleton.node_names)  # in an order of its own
        order = [names.index(k) for k in samples.skeleton.keypoints]
        for frame in labels:
            name = Path(str(frame.video.filename[frame.frame_idx])).name
            number = int(name.removeprefix("img").removesuffix(".jpg"))
            for instance in frame:
                here = samples.camera == camera
                here &= (samples.frame_id == number) & (
                    samples.right == float(instance.track.name == "right")
                )
                (n,) = np.flatnonzero(here)
                np.testing.assert_allclose(instance.numpy()[order], samples.xy_px[n], atol=1e-3)
                count += 1
    assert count == len(samples)


def test_every_json_is_plain(take: Take, tmp_path: Path) -> None:
    """NaN is no JSON: strict parsers of other languages refuse it."""
    samples, root = take
    assert np.isnan(samples.sigma_px).any()
    right = samples.take((samples.right == 1) & np.isfinite(samples.xyz_world).all((1, 2)))
    names = ["coco", "wholebody", "hand_labels", "panopticdb", "freihand", "interhand", "panoptic"]
    for name in names:
        given = right if name in {"freihand", "panopticdb"} else samples
        path = save_dataset(given, tmp_path / name, name, pictures=root)
        for file in path.rglob("*.json"):
            json.loads(file.read_text(), parse_constant=lambda text: pytest.fail(text))
