"""`multiview dataset ...` by the command line: from a take to every layout, checked."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from multiview import cli
from multiview.core import HandSamples
from multiview.core.samples import make_samples
from multiview.formats.datasets import load_dataset, save_dataset
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.stages.train_data import read_training_hands

sys.path.insert(0, str(Path(__file__).parent / "formats" / "datasets"))
from dataset_take import exact_points, make_take, small_rig


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take of JPEG folders, its detections and its 3D."""
    from dataclasses import replace

    root = tmp_path_factory.mktemp("lab")
    make_take(root / "pictures")
    (root / "take one").mkdir()
    rig = small_rig()
    for name in rig.names:
        (root / "pictures" / "images" / name).rename(root / "take one" / name)
    dets, points = exact_points(rig)
    ids = np.arange(4)
    (root / "detect").mkdir()
    (root / "tri").mkdir()
    write_detections(replace(dets, frame_ids=ids), root / "detect" / "detections.parquet")
    write_points(replace(points, frame_ids=ids), root / "tri" / "points.parquet")
    write_rig(rig, root / "tri" / "rig.yaml")
    return root


def run(*arguments: object) -> int:
    return cli.main(["dataset", *map(str, arguments)])


def label(lab: Path, take: Path, out: Path, *more: object) -> int:
    inputs = ("--detections", lab / "detect", "--points", lab / "tri", "--out", out)
    # what carries a point was drawn by lot here: no view of it is too few
    few = ("--select.min-inliers", 1, "--select.max-heldout", 9, "--label.allow-unvoted")
    alone = ("--label.unit", "keypoint")
    return cli.main(list(map(str, ["label", take, *inputs, *few, *alone, *more])))


def make(lab: Path, out: Path, *more: object) -> int:
    sync = ("--input.sync", "index", "--subject", "s7", "--round", 3)
    return label(lab, lab / "take one", out, *sync, *more)


def test_a_take_becomes_a_dataset(lab: Path, tmp_path: Path, capsys) -> None:
    assert make(lab, tmp_path / "d") == 0
    out = capsys.readouterr().out
    assert "label: 24 hands in 12 pictures" in out
    found = load_dataset(tmp_path / "d")
    samples = found.samples
    assert set(samples.session) == {"take one"}
    assert (set(samples.subject), set(samples.round)) == ({"s7"}, {3})
    assert set(samples.rig_digest) == {small_rig().digest}
    # linked to the take's own pictures
    for image in samples.image.tolist():
        assert (tmp_path / "d" / image).stat().st_nlink == 2
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    # the views that carried the point, by name
    _, points = exact_points(small_rig())
    for n in (0, 7, 23):
        f = samples.frame_id[n]
        carried = points.inlier[:, f, int(samples.right[n]), 4]
        assert samples.views_of(n, 4) == tuple(np.array(points.camera_names)[carried])
        view = points.camera_names.index(samples.camera[n])
        assert samples.residual_px[n, 4] == points.err_px[view, f, int(samples.right[n]), 4]


def test_pictures_of_videos_are_extracted_once(lab: Path, tmp_path: Path) -> None:
    import av
    import cv2

    (tmp_path / "films").mkdir()
    for name in small_rig().names:
        with av.open(str(tmp_path / "films" / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.bit_rate = 8_000_000
            for file in sorted((lab / "take one" / name).iterdir()):
                frame = av.VideoFrame.from_ndarray(cv2.imread(str(file)), format="bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert label(lab, tmp_path / "films", tmp_path / "d") == 0
    found = load_dataset(tmp_path / "d")
    assert set(found.samples.session) == {"films"}
    assert (set(found.samples.subject), set(found.samples.round)) == ({""}, {1})
    assert len(list((tmp_path / "d").rglob("*.jpg"))) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "films"]
    # the right frame of the right camera: its dots are where the labels are
    for n in range(len(found.samples)):
        picture = found.pictures.read(found.samples.image[n])
        x, y = np.rint(found.samples.xy_px[n][found.samples.labelled[n]]).astype(int).T
        assert np.median(picture[y, x, 0]) > 150


def test_convert_split_check_and_info(lab: Path, tmp_path: Path, capsys) -> None:
    assert make(lab, tmp_path / "d") == 0
    split = ("--split.by", "time", "--split.block-s", 1, "--split.gap-s", 0, "--split.fps", 1)
    assert run("split", tmp_path / "d", "--out", tmp_path / "s", *split) == 0
    divided = load_dataset(tmp_path / "s")
    assert set(divided.samples.split) == {"train", "val", "test"}
    assert divided.manifest["made_from"] == load_dataset(tmp_path / "d").samples.digest
    assert run("convert", tmp_path / "s", "--out", tmp_path / "hands.yolo") == 0
    assert run("convert", tmp_path / "s", "--out", tmp_path / "f", "--format", "freihand") == 2
    assert "--hands right" in capsys.readouterr().err
    more = ("--hands", "right", "--complete", "--format", "freihand")
    assert run("convert", tmp_path / "s", "--out", tmp_path / "f", *more) == 0
    assert run("check", tmp_path / "d") == 0
    for name in ("s", "hands.yolo", "f"):
        capsys.readouterr()
        assert run("check", tmp_path / name) == 0
        assert "nothing wrong, digest" in capsys.readouterr().out
        assert run("info", tmp_path / name) == 0
        out = capsys.readouterr().out
        assert load_dataset(tmp_path / name).digest in out
    assert "R (" in out


def test_a_configuration_file_may_leave_out_what_the_line_gives(
    lab: Path, tmp_path: Path, capsys
) -> None:
    assert make(lab, tmp_path / "d") == 0
    config = tmp_path / "split.yaml"
    shares = "{learn: 0.5, judge: 0.5}"
    config.write_text(f"split: {{by: time, block_s: 1, gap_s: 0, fps: 1, shares: {shares}}}\n")
    assert run("split", tmp_path / "d", "--out", tmp_path / "s", "--config", config) == 0
    assert set(load_dataset(tmp_path / "s").samples.split) == {"learn", "judge"}
    config.write_text("split: {by: tme}\n")
    assert run("split", tmp_path / "d", "--out", tmp_path / "t", "--config", config) == 2
    assert "split.yaml: split.by" in capsys.readouterr().err


def test_a_label_folder_is_a_dataset(lab: Path, tmp_path: Path) -> None:
    """`multiview label` writes what `dataset convert` and `train` read."""
    assert make(lab, tmp_path / "d", "--session", "mine") == 0
    assert run("convert", tmp_path / "d", "--out", tmp_path / "hands.coco") == 0
    ours, made = (load_dataset(tmp_path / n).samples for n in ("hands.coco", "d"))
    assert len(ours) == len(made)
    assert set(ours.session) == set(made.session) == {"mine"}
    assert set(ours.rig_digest) == set(made.rig_digest)
    np.testing.assert_allclose(ours.xy_px, made.xy_px, atol=1e-3)
    # labels of a detector are not the start set, those of a person are
    data = read_training_hands([tmp_path / "d"], [])
    assert not data.hands.start.any()
    (tmp_path / "d" / "samples.parquet").unlink()  # as `mv.save(labels)` leaves it
    alone = read_training_hands([tmp_path / "d"], [])
    assert not alone.hands.start.any()
    np.testing.assert_allclose(alone.hands.xy_px, data.hands.xy_px, atol=1e-3)
    np.testing.assert_array_equal(alone.hands.right, data.hands.right)


def spoil(path: Path, kind: str) -> None:
    images = sorted((path / "images").rglob("*.jpg"))
    if kind == "picture missing":
        images[0].unlink()
        return
    if kind == "changed since it was written":
        text = next((path / "annotations").glob("*.json"))
        data = json.loads(text.read_text())
        data["annotations"][0]["keypoints"][0] += 1
        text.write_text(json.dumps(data))
        return
    data = images[0].read_bytes()
    images[0].unlink()  # a link: the take's own picture stays as it is
    if kind == "picture damaged":
        images[0].write_bytes(data[: len(data) // 2])
    elif kind == "its digest does not hold":  # another picture of the same size
        images[0].write_bytes(images[1].read_bytes())
    else:
        import cv2

        cv2.imwrite(str(images[0]), np.zeros((50, 60, 3), np.uint8))


@pytest.mark.parametrize(
    "kind",
    [
        "picture missing",
        "picture damaged",
        "picture of another size",
        "changed since it was written",
        "its digest does not hold",
    ],
)
def test_check_finds(kind: str, lab: Path, tmp_path: Path, capsys) -> None:
    assert make(lab, tmp_path / "labels") == 0
    assert run("convert", tmp_path / "labels", "--out", tmp_path / "d", "--format", "coco") == 0
    spoil(tmp_path / "d", kind)
    capsys.readouterr()
    assert run("check", tmp_path / "d") == 1
    assert kind in capsys.readouterr().out


def test_check_lists_labels_and_leaks(lab: Path, tmp_path: Path, capsys) -> None:
    assert make(lab, tmp_path / "labels") == 0
    assert run("convert", tmp_path / "labels", "--out", tmp_path / "d", "--format", "coco") == 0
    file = tmp_path / "d" / "annotations" / "all.json"
    data = json.loads(file.read_text())
    notes = data["annotations"]
    notes[0]["keypoints"][0] = -30
    notes[1]["bbox"] = [0, 0, 5, 5]
    notes.append(notes[2] | {"id": 1000})
    # one picture, and so one instant, in validation too
    (file.parent / "val.json").write_text(json.dumps(data | {"annotations": notes[8:10]}))
    file.write_text(json.dumps(data))
    capsys.readouterr()
    assert run("check", tmp_path / "d") == 1
    out = capsys.readouterr().out
    for kind in (
        "label outside the image",
        "keypoints outside their box",
        "labelled twice",
        "one instant in two splits",
        "changed since it was written",
    ):
        assert kind in out
    assert "all.json: annotations[0] (id 1): wrist at (-30.0" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "none"), "no such file or folder"),
        (("convert", "--out", "x.coco"), "no samples to join"),
        (("convert", "d", "--out", "x"), "no dataset format is called ''"),
        (("convert", "d", "--out", "d", "--format", "coco"), "d exists"),
        (("convert", "d", "d", "--pictures", "p", "--out", "x.coco"), "--pictures is for one"),
        (("split", "d", "--out", "x"), "1 session cannot make 3 splits"),
        (("split", "d", "--out", "x", "--split.by", "time"), "1 block cannot make 3 splits"),
    ],
)
def test_bad_input(arguments, message, lab: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    assert make(lab, tmp_path / "d") == 0
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "next:" in error
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_another_take_is_refused(lab: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "take" / "cam00").mkdir(parents=True)
    picture = next((lab / "take one" / "cam00").iterdir())
    (tmp_path / "take" / "cam00" / picture.name).write_bytes(picture.read_bytes())
    assert label(lab, tmp_path / "take", tmp_path / "d", "--input.sync", "index") == 2
    assert "give the take that was detected" in capsys.readouterr().err


def many(root: Path, n: int) -> HandSamples:
    """Hands in pictures that are links to one file."""
    import cv2

    root.mkdir()
    cv2.imwrite(str(root / "0.png"), np.zeros((8, 8, 3), np.uint8))
    for number in range(1, n):
        (root / f"{number}.png").hardlink_to(root / "0.png")
    xy = np.random.default_rng(0).uniform(0, 7, (n, 21, 2))
    return make_samples(
        xy_px=xy,
        visibility=np.full((n, 21), 2),
        image=[f"{number}.png" for number in range(n)],
        size_wh=np.full((n, 2), 8),
        right=np.ones(n),
        frame_id=np.arange(n),
    )


@pytest.mark.parametrize("name", ["parquet", "coco", "yolo", "panopticdb", "wholebody"])
def test_time_grows_with_the_number(name: str, tmp_path: Path) -> None:
    """Eight times the hands take about eight times as long; quadratic would be 64 times."""
    seconds = []
    for n in (400, 3200):
        samples = many(tmp_path / f"in{n}", n)
        started = time.process_time()
        save_dataset(samples, tmp_path / f"{n}.{name}", pictures=tmp_path / f"in{n}")
        seconds.append(time.process_time() - started)
    # half way between on a log scale, and a floor for the fixed part
    assert seconds[1] < 8**1.5 * max(seconds[0], 0.02)
