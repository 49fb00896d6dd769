"""Wrong datasets: refused with file, entry and what to do; nothing is left half-written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_take import make_take

from multiview.core import HandSamples
from multiview.errors import InputError, ShapeError
from multiview.formats.datasets import load_dataset, save_dataset
from multiview.formats.datasets.faults import faults_of

Take = tuple[HandSamples, Path]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    root = tmp_path_factory.mktemp("labels")
    return make_take(root, distortion=0.0), root


@pytest.fixture(scope="module")
def written(take: Take, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a fresh copy of a written dataset; formats are written once."""
    import shutil

    store = tmp_path_factory.mktemp("store")

    def copy(name: str) -> Path:
        samples, root = take
        if not (store / name).exists():
            right = samples.take(samples.right == 1)
            whole = right.take(np.isfinite(right.xyz_world).all((1, 2)))
            save_dataset(whole, store / name, name, pictures=root)
        target = store / f"copy-{len(list(store.iterdir()))}"
        shutil.copytree(store / name, target)
        return target

    return copy


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def first(name: str) -> Any:
    """Where the file of a format is, and its first hand."""
    places: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "coco": ("annotations/train.json", lambda d: d["annotations"][0]),
        "wholebody": ("annotations/train.json", lambda d: d["annotations"][0]),
        "hand_labels": ("manual_train/*.json", lambda d: d),
        "panopticdb": ("hands_v143_*.json", lambda d: d["root"][0]),
        "interhand": ("annotations/train/*_data.json", lambda d: d["annotations"][0]),
        "panoptic": ("*/hdHand3d/*.json", lambda d: d["people"][0]["right_hand"]),
    }
    return places[name]


def cut(key: str, count: int = 3) -> Callable[[dict[str, Any]], None]:
    return lambda hand: hand.update({key: hand[key][:-count]})


def put(key: str, at: int, value: float) -> Callable[[dict[str, Any]], None]:
    def change(hand: dict[str, Any]) -> None:
        flat = np.array(hand[key], float)
        flat.reshape(-1)[at] = value
        hand[key] = flat.tolist()

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("coco", cut("keypoints"), r"annotations\[0\] \(id 1\): holds 60 numbers, expected 63"),
        ("coco", put("keypoints", 2, 0.7), r"flag 0.7, allowed are 0, 1, 2"),
        ("coco", put("keypoints", 0, -40), r"label outside the image: wrist at \(-40.0"),
        ("coco", put("bbox", 2, 0), r"annotations\[0\].*box of no area"),
        ("coco", lambda a: a.update(image_id=99), "there is no image 99"),
        ("coco", lambda a: a.pop("keypoints"), "not as COCO writes it"),
        ("wholebody", cut("righthand_kpts"), r"annotations\[0\].*righthand: holds 60 numbers"),
        ("wholebody", put("righthand_kpts", 5, 3), "flag 3"),
        ("hand_labels", cut("hand_pts", 1), r"_r\.json: holds 60 numbers, expected 63"),
        (
            "hand_labels",
            put("hand_pts", 2, 0.5),
            r"_r\.json: has the flag 0.5, allowed are 0, 1",
        ),
        ("hand_labels", lambda d: d.update(is_left=2), "is_left: has the flag 2"),
        ("panopticdb", cut("joint_self", 1), r"root\[0\]: holds 60 numbers"),
        ("panopticdb", put("joint_self", 1, 4000), r"root\[0\]: label outside the image"),
        ("interhand", cut("joint_valid"), r"annotations\[0\].*joint_valid: holds 39 numbers"),
        ("interhand", lambda a: a.update(image_id=77), "not as InterHand2.6M writes it"),
        ("panoptic", cut("landmarks"), r"people\[0\], right_hand: landmarks: holds 60 numbers"),
        ("panoptic", put("validity", 0, 5), "validity: has the flag 5"),
        ("panoptic", cut("visibility", 1), "visibility of 20 points, expected 21"),
    ],
)
def test_a_wrong_entry_is_named(
    name: str,
    change: Callable[[Any], None],
    message: str,
    written: Callable[[str], Path],
) -> None:
    path = written(name)
    pattern, find = first(name)
    file = sorted(path.glob(pattern))[0]
    edit(file, lambda data: change(find(data)))
    with pytest.raises(InputError, match=message) as error:
        load_dataset(path)
    assert file.name in error.value.what
    assert error.value.next_step


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r" \d\S*$", "", r"line 1: holds 67 numbers, expected 68"),
        (r"^0 0\.\d+", "0 1.5", r"line 1: has a number outside 0 to 1"),
        (r"^0", "4", "line 1: class 4 is not in data.yaml"),
        (r"^0 (\S+ \S+ \S+ \S+ \S+ \S+) \d", r"0 \1 3", r"line 1: has the flag 3"),
    ],
)
def test_a_wrong_yolo_line_is_named(
    old: str, new: str, message: str, written: Callable[[str], Path]
) -> None:
    path = written("yolo")
    file = sorted((path / "labels" / "train").glob("*.txt"))[0]
    text = file.read_text()
    changed = re.sub(old, new, text, count=1, flags=re.MULTILINE)
    assert changed != text
    file.write_text(changed)
    with pytest.raises(InputError, match=message):
        load_dataset(path)


def test_a_flip_that_swaps_fingers_is_refused(written: Callable[[str], Path]) -> None:
    path = written("yolo")
    file = path / "data.yaml"
    text = file.read_text()
    start = text.index("flip_idx: [") + len("flip_idx: [")
    assert text[start:].startswith("0, 1, 2,")
    file.write_text(text[:start] + "0, 2, 1," + text[start + len("0, 1, 2,") :])
    with pytest.raises(InputError, match="flip_idx exchanges keypoints"):
        load_dataset(path)


def test_another_order_is_put_right_by_its_names(written: Callable[[str], Path]) -> None:
    """A COCO file that lists its keypoints tip first is read by name, never by place."""
    path = written("coco")
    wanted = load_dataset(path).samples
    file = path / "annotations" / "train.json"

    def reverse(data: dict[str, Any]) -> None:
        del data["info"]["multiview"]  # a file of another program
        data["categories"][0]["keypoints"].reverse()
        data["categories"][0]["skeleton"] = []
        for a in data["annotations"]:
            a["keypoints"] = np.array(a["keypoints"]).reshape(-1, 3)[::-1].ravel().tolist()

    edit(file, reverse)
    (path / "annotations" / "val.json").unlink()
    again = load_dataset(path).samples
    here = wanted.split == "train"
    np.testing.assert_array_equal(again.xy_px, wanted.xy_px[here])
    edit(file, lambda d: d["categories"][0]["keypoints"].__setitem__(3, "knee"))
    with pytest.raises(InputError, match="20 of the names are of a hand"):
        load_dataset(path)


def test_lists_of_unequal_length(written: Callable[[str], Path]) -> None:
    path = written("freihand")
    edit(path / "training_K.json", lambda data: data.pop())
    with pytest.raises(InputError, match=r"has \d+ hands, training_K.json \d+"):
        load_dataset(path)


def test_a_path_out_of_the_dataset_is_refused(written: Callable[[str], Path]) -> None:
    path = written("coco")
    for name in ("../../secret.jpg", "/etc/secret.jpg", "C:/secret.jpg"):
        edit(
            path / "annotations" / "train.json",
            lambda d, name=name: [i.update(file_name=name) for i in d["images"]],
        )
        with pytest.raises(InputError, match="lies outside the dataset"):
            load_dataset(path)


def test_missing_pictures_are_named(take: Take, tmp_path: Path) -> None:
    samples, _ = take
    with pytest.raises(InputError, match=r"cam0\d/0000\d\d.jpg: this picture .*\n.*--pictures"):
        save_dataset(samples, tmp_path / "d", "coco", pictures=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(take: Take, tmp_path: Path) -> None:
    samples, root = take
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(InputError, match="mine exists"):
            save_dataset(samples, tmp_path / "mine", "coco", pictures=root, force=force)
    assert (tmp_path / "mine" / "data.txt").read_text() == "precious"
    path = save_dataset(samples, tmp_path / "d", "coco", pictures=root)
    with pytest.raises(InputError, match="d exists"):
        save_dataset(samples, path, "coco", pictures=root)
    save_dataset(samples.take(slice(0, 3)), path, "coco", pictures=root, force=True)
    assert len(load_dataset(path).samples) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "mine"]


def test_what_a_format_cannot_hold_is_said(take: Take, tmp_path: Path) -> None:
    samples, root = take
    unknown = replace(samples, right=np.full(len(samples), np.nan))
    flat = replace(samples, xyz_world=np.full(samples.xyz_world.shape, np.nan))
    squares = replace(samples, unit="board square")
    hole = samples.xyz_world.copy()
    hole[:, 4] = np.nan
    cases = [
        (samples, "freihand", r"takes every hand for a right one.*\n.*--hands right"),
        (samples, "panopticdb", "takes every hand for a right one"),
        (unknown, "interhand", r"needs left or right.*\n.*--hands known"),
        (flat, "panoptic", r"needs 3D keypoints and cameras, which (\d+) of \1 hands lack"),
        (squares, "interhand", r"'board square'.*\n.*--scale"),
        (replace(samples, xyz_world=hole).take(samples.right == 1), "freihand", "--complete"),
        (samples, "pascal", "no dataset format is called 'pascal'"),
    ]
    for given, name, message in cases:
        with pytest.raises(InputError, match=message):
            save_dataset(given, tmp_path / "d", name, pictures=root)
    assert not list(tmp_path.iterdir())


def test_labels_outside_are_not_written(take: Take, tmp_path: Path) -> None:
    samples, root = take
    xy = samples.xy_px.copy()
    n, k = np.argwhere(samples.labelled)[40]
    xy[n, k] = 321.0, 5.0
    with pytest.raises(InputError, match=r"label outside the image: \w+ at \(321.0, 5.0\) of 320"):
        save_dataset(replace(samples, xy_px=xy), tmp_path / "d", "parquet", pictures=root)


def test_the_edge_belongs_to_the_picture(take: Take) -> None:
    samples = take[0].take([0])
    for x, wrong in ((-0.5, 0), (319.5, 0), (-0.51, 1), (319.51, 1)):
        xy = samples.xy_px.copy()
        xy[0, np.flatnonzero(samples.labelled[0])[0]] = x, 5.0
        found = [f for f in faults_of(replace(samples, xy_px=xy)) if f.fatal]
        assert len(found) == wrong


def test_samples_are_checked(take: Take) -> None:
    samples = take[0]
    seen = samples.visibility.copy()
    seen[0, 0] = 3
    with pytest.raises(ShapeError, match="not 0, 1 or 2"):
        replace(samples, visibility=seen)
    seen[0] = 0
    with pytest.raises(ShapeError, match="missing where visibility is above 0, or there"):
        replace(samples, visibility=seen)
    with pytest.raises(ShapeError, match="outside \\[0, 1\\]"):
        replace(samples, weight=samples.weight + 0.5)
    with pytest.raises(ShapeError, match="names no camera"):
        replace(samples, lens=samples.lens + 5)


@pytest.mark.parametrize("name", ["parquet", "webdataset", "coco"])
def test_damaged_files(name: str, written: Callable[[str], Path]) -> None:
    path = written(name)
    patterns = {"parquet": "*.parquet", "webdataset": "*.tar", "coco": "annotations/*.json"}
    file = sorted(path.glob(patterns[name]))[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=re.escape(file.name)):
        load_dataset(path)


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        load_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="no dataset of a known layout"):
        load_dataset(tmp_path)
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="no dataset of a known layout"):
        load_dataset(tmp_path / "a.json")


@pytest.mark.skipif(find_spec("sleap_io") is None, reason="sleap-io (extra sleap) is absent")
def test_slp_without_sleap_io_names_the_extra(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    samples, root = take
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    with pytest.raises(InputError, match=r"sleap-io\n.*multiview-bootstrapping\[sleap\]"):
        save_dataset(samples, tmp_path / "d", "slp", pictures=root)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from multiview.formats.datasets.pictures import Pictures

    samples, root = take
    old = save_dataset(samples, tmp_path / "d", "coco", pictures=root)
    digest = load_dataset(old).digest
    real, count = Pictures.place, [0]

    def place(self: Pictures, *arguments: Any) -> None:
        count[0] += 1
        if count[0] > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, *arguments)

    monkeypatch.setattr(Pictures, "place", place)
    with pytest.raises(InputError, match=r"cannot be written \(No space left.*\n.*free some space"):
        save_dataset(samples.take(slice(0, 9)), old, "coco", pictures=root, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    assert load_dataset(old).digest == digest


@pytest.mark.parametrize("place", ["../images/train", "../elsewhere/images/train"])
def test_yolo_pictures_are_found_where_other_tools_say(
    place: str, written: Callable[[str], Path]
) -> None:
    path = written("yolo")
    file = path / "data.yaml"
    text = file.read_text().replace("train: images/train", f"train: {place}")
    file.write_text("path: ../datasets/hands\n" + text)
    if "elsewhere" in place:
        with pytest.raises(InputError, match=r"its pictures \.\./elsewhere/images/train are"):
            load_dataset(file)
    else:
        assert set(load_dataset(file).samples.split) == {"train", "val"}


def test_panoptic_counts_hd_cameras_only(written: Callable[[str], Path]) -> None:
    """Genuine calibrations list 480 VGA cameras first; visibility does not count them."""
    path = written("panoptic")
    wanted = load_dataset(path).samples
    (file,) = path.glob("*/calibration_*.json")

    def add(data: dict[str, Any]) -> None:
        vga = data["cameras"][0] | {"name": "01_01", "type": "vga"}
        data["cameras"] = [vga, vga | {"name": "01_02"}, *data["cameras"]]

    edit(file, add)
    again = load_dataset(path).samples
    np.testing.assert_array_equal(again.visibility, wanted.visibility)
    np.testing.assert_array_equal(again.xy_px, wanted.xy_px)
