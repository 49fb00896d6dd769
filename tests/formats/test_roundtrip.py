"""Every format gives back what was written, and says what is wrong with a file."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from multiview.bootstrap.labels import pseudo_labels
from multiview.core import (
    HAND_21,
    Detections,
    Points3D,
    PseudoLabels,
    Rig,
    RigCovariance,
    Skeleton,
)
from multiview.errors import ConfigError, InputError, ShapeError
from multiview.formats.coco import read_coco, write_coco
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.files import load, save
from multiview.formats.points_parquet import read_points, write_points
from multiview.formats.rig_yaml import read_rig, rig_from_dict, rig_to_dict, write_rig
from multiview.formats.tables import skeleton_from_dict, skeleton_to_dict
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import triangulate

# What the format promises: pixels and their deviation to 3 digits, weights to 4.
COCO_PX, COCO_WEIGHT = 0.5e-3 + 1e-9, 0.5e-4 + 1e-9

Take = tuple[Rig, Detections, Points3D, PseudoLabels]


@pytest.fixture(scope="module")
def take() -> Take:
    rig = make_rig(np.random.default_rng(0), 4, view_m=0.5)
    hands = make_hand_motion(np.random.default_rng(1), 8, 2)
    dets = observe(
        np.random.default_rng(2), rig, hands, missing=0.1, missing_hands=0.2, outliers=0.02
    ).detections
    times = dets.times.copy()
    xy, conf, right = dets.xy_px.copy(), dets.conf.copy(), dets.right.copy()
    # camera 1 has no picture in frame 3, and a picture without a hand in frame 5
    times[1, 3] = np.nan
    xy[1, [3, 5]], conf[1, [3, 5]], right[1, [3, 5]] = np.nan, 0, np.nan
    dets = replace(dets, xy_px=xy, conf=conf, right=right, times=times)
    dets = replace(dets, size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras))
    dets = replace(dets, frame_ids=np.array([3, 4, 7, 100, 101, 102, 2000, 70_000]))
    points = triangulate(dets, rig)
    return rig, dets, points, pseudo_labels(points, dets, rig, iteration=2)


def equal(a: Any, b: Any, skip: tuple[str, ...] = ()) -> None:
    """All fields the same, bit by bit; NaN equals NaN."""
    assert type(a) is type(b)
    for field in fields(a):
        if field.name not in skip:
            x, y = getattr(a, field.name), getattr(b, field.name)
            if isinstance(x, np.ndarray):
                assert x.dtype == y.dtype, field.name
                np.testing.assert_array_equal(x, y, err_msg=field.name)
            else:
                assert x == y, field.name


def some_covariance(views: int) -> RigCovariance:
    """Poses of all cameras but the first, and two lens parameters that they share."""
    P = 6 * (views - 1) + 2
    root = np.random.default_rng(3).normal(0, 1, (P, P))
    pose = np.full((views, 6), -1)
    pose[1:] = np.arange(6 * (views - 1)).reshape(-1, 6)
    lens = np.full((views, 16), -1)
    lens[:, :2] = P - 2, P - 1
    return RigCovariance(matrix=root @ root.T, pose=pose, lens=lens)


def test_rig_keeps_its_covariance_and_no_other(tmp_path: Path) -> None:
    rig = make_rig(np.random.default_rng(0), 4)
    known = replace(rig, covariance=some_covariance(4))
    again = read_rig(write_rig(known, tmp_path / "rig.yaml"))
    assert again.covariance is not None
    assert np.array_equal(again.covariance.matrix, known.covariance.matrix)
    assert np.array_equal(again.covariance.lens, known.covariance.lens)
    # cameras taken out take their columns with them
    part = again.select([rig.names[3], rig.names[0]]).covariance
    assert part.matrix.shape == (8, 8)
    assert np.allclose(part.pose_std[0], known.covariance.pose_std[3])
    # the same file beside another rig says nothing about it
    other = make_rig(np.random.default_rng(1), 4)
    assert read_rig(write_rig(other, tmp_path / "rig.yaml")).covariance is None


def test_damaged_covariance_is_named(tmp_path: Path) -> None:
    rig = replace(make_rig(np.random.default_rng(0), 4), covariance=some_covariance(4))
    write_rig(rig, tmp_path / "rig.yaml")
    (tmp_path / "rig.covariance.npz").write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match=r"rig\.covariance\.npz: no covariance"):
        read_rig(tmp_path / "rig.yaml")


def test_covariance_of_fewer_cameras_is_refused() -> None:
    rig = make_rig(np.random.default_rng(0), 4)
    with pytest.raises(ShapeError, match="4 cameras, its covariance 3"):
        replace(rig, covariance=some_covariance(3))


def test_rig_is_the_same_bit_by_bit(take: Take, tmp_path: Path) -> None:
    rig = replace(take[0], unit="board square", about='quotes " and: colons\nand lines')
    again = read_rig(write_rig(rig, tmp_path / "rig.yaml"))
    assert again.digest == rig.digest
    assert (again.unit, again.about, again.names) == (rig.unit, rig.about, rig.names)
    text = (tmp_path / "rig.yaml").read_text()
    write_rig(again, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == text


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
def test_any_number_survives_yaml(numbers: list[float]) -> None:
    rig = make_rig(np.random.default_rng(0), 1)
    camera = rig.cameras[0]
    lens = replace(camera.intrinsics, dist=np.array(numbers))
    pose = replace(camera.cam_from_world, t=np.array(numbers[:3]))
    rig = replace(rig, cameras=(replace(camera, intrinsics=lens, cam_from_world=pose),))
    data = yaml.safe_load(yaml.safe_dump(rig_to_dict(rig)))
    assert rig_from_dict(data, "test").digest == rig.digest


def test_detections_are_the_same(take: Take, tmp_path: Path) -> None:
    dets = take[1]
    assert np.isnan(dets.xy_px).any()
    equal(read_detections(write_detections(dets, tmp_path / "d.parquet")), dets)


def test_a_picture_without_a_hand_is_told_from_no_picture(take: Take, tmp_path: Path) -> None:
    table = pq.read_table(write_detections(take[1], tmp_path / "d.parquet")).to_pylist()
    rows = {(r["camera"], r["frame"]): r["hand"] for r in table}
    # frames 3 and 5 of camera 1, by their numbers
    assert rows["cam01", 100] == -2
    assert rows["cam01", 102] == -1


def test_candidates_are_the_same(take: Take, tmp_path: Path) -> None:
    dets = replace(take[1], hands=())
    equal(read_detections(write_detections(dets, tmp_path / "d.parquet")), dets)


def test_detections_without_any_hand_keep_frames_and_times(take: Take, tmp_path: Path) -> None:
    d = take[1]
    none = replace(
        d,
        xy_px=np.full(d.xy_px.shape, np.nan),
        conf=np.zeros(d.conf.shape),
        right=np.full(d.right.shape, np.nan),
    )
    equal(read_detections(write_detections(none, tmp_path / "d.parquet")), none)


def test_points_are_the_same(take: Take, tmp_path: Path) -> None:
    points = take[2]
    assert np.isnan(points.xyz_world).any()
    assert points.valid.any()
    # a covariance is symmetric: its upper half is what is kept
    points = replace(points, cov=(points.cov + np.swapaxes(points.cov, -1, -2)) / 2)
    filled = np.zeros_like(points.voted)
    filled[3] = True
    points = replace(points, filled=filled, smoothing="over time")
    equal(read_points(write_points(points, tmp_path / "p.parquet")), points)


def test_points_without_trust_are_read_as_they_were_meant(take: Take, tmp_path: Path) -> None:
    path = write_points(take[2], tmp_path / "p.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["trust"]), path)
    old = read_points(path)
    assert (old.trust[old.voted] == 1).all()
    assert np.isnan(old.trust[~old.voted]).all()


def test_labels_are_the_same_to_the_digits_promised(take: Take, tmp_path: Path) -> None:
    labels = take[3]
    again = read_coco(write_coco(labels, tmp_path / "labels.json"))
    equal(again, labels, skip=("xy_px", "visibility", "weight", "sigma_px"))
    kept = labels.keep
    assert kept.any()
    assert not kept.all()
    np.testing.assert_array_equal(again.visibility[kept], labels.visibility[kept])
    for name, tolerance in (("xy_px", COCO_PX), ("weight", COCO_WEIGHT), ("sigma_px", COCO_PX)):
        ours, theirs = getattr(labels, name)[kept], getattr(again, name)[kept]
        np.testing.assert_array_equal(np.isnan(theirs), np.isnan(ours))
        np.testing.assert_allclose(theirs, ours, atol=tolerance, rtol=0)
    # a picture that is not kept is not in the file
    assert np.isnan(again.xy_px[~kept]).all()


def test_coco_file_is_what_any_reader_expects(take: Take, tmp_path: Path) -> None:
    labels = take[3]
    data = json.loads(write_coco(labels, tmp_path / "l.json").read_text())
    assert len(data["annotations"]) == labels.keep.sum()
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"])
    assert {a["image_id"] for a in data["annotations"]} == {i["id"] for i in data["images"]}
    for a in data["annotations"]:
        points = np.array(a["keypoints"]).reshape(21, 3)
        seen = points[points[:, 2] > 0, :2]
        assert a["num_keypoints"] == len(seen)
        low, high = seen.min(0), seen.max(0)
        np.testing.assert_allclose(a["bbox"], [*low, *(high - low)], atol=2e-3)
        assert (points[points[:, 2] == 0] == 0).all()
    # COCO counts keypoints of a skeleton from 1
    edges = np.array(data["categories"][0]["skeleton"])
    assert (edges.min(), edges.max()) == (1, 21)


def test_a_skeleton_of_ones_own_survives(take: Take, tmp_path: Path) -> None:
    dets = take[1]
    own = Skeleton(
        name="two",
        keypoints=("a", "b"),
        edges=((0, 1),),
        groups={"g": (0, 1)},
        colors=((1, 2, 3), (4, 5, 6)),
    )
    dets = replace(dets, xy_px=dets.xy_px[..., :2, :], conf=dets.conf[..., :2], skeleton=own)
    assert read_detections(write_detections(dets, tmp_path / "d.parquet")).skeleton == own


def test_a_hand_with_the_colours_of_an_older_version_is_the_hand() -> None:
    old = skeleton_to_dict(HAND_21)
    old["colors"] = [[9, 9, 9]] * 21
    assert skeleton_from_dict(old) is HAND_21
    assert skeleton_from_dict({**old, "name": "mine"}).colors[0] == (9, 9, 9)


@pytest.mark.parametrize(
    ("index", "name"),
    [(0, "a.yaml"), (0, "b.YML"), (1, "d.parquet"), (2, "p.parquet"), (3, "l.json")],
)
def test_load_and_save_choose_by_suffix(take: Take, tmp_path: Path, index: int, name: str) -> None:
    path = tmp_path / "new folder" / name
    assert save(take[index], path) == path
    assert type(load(str(path))) is type(take[index])
    assert [p.name for p in path.parent.iterdir()] == [name]  # no temporary file is left


@pytest.mark.parametrize(("index", "name"), [(0, "a.json"), (1, "d.csv"), (3, "l.yaml"), (2, "p")])
def test_a_suffix_that_does_not_fit_is_refused(
    take: Take, tmp_path: Path, index: int, name: str
) -> None:
    with pytest.raises(InputError, match=f"{type(take[index]).__name__} cannot be saved"):
        save(take[index], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_unknown_suffix_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no format for suffix '\.txt'"):
        load(tmp_path / "x.txt")
    for name in ("x.yaml", "x.parquet", "x.json"):
        with pytest.raises(InputError, match=name):
            load(tmp_path / name)


def test_the_wrong_kind_of_table_is_named(take: Take, tmp_path: Path) -> None:
    save(take[1], tmp_path / "d.parquet")
    save(take[2], tmp_path / "p.parquet")
    with pytest.raises(InputError, match="holds multiview-detections/1, expected multiview-points"):
        read_points(tmp_path / "d.parquet")
    with pytest.raises(InputError, match="holds multiview-points3d/1, expected multiview-detectio"):
        read_detections(tmp_path / "p.parquet")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("index", [1, 2])
def test_a_truncated_table_is_refused(take: Take, tmp_path: Path, index: int, share: float) -> None:
    path = save(take[index], tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"x\.parquet: not a readable Parquet file"):
        load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"info": {}}', '{"info": null}', "\x00"])
def test_what_is_no_label_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"labels\.json: not a label file"):
        load(path)


@pytest.mark.parametrize("lost", ["skeleton", "hand"])
def test_a_damaged_label_file_is_refused(take: Take, tmp_path: Path, lost: str) -> None:
    path = save(take[3], tmp_path / "labels.json")
    data = json.loads(path.read_text())
    (data["info"]["multiview"] if lost == "skeleton" else data["annotations"][0]).pop(lost)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"labels\.json"):
        load(path)


@pytest.mark.parametrize("index", [1, 2])
def test_large_frame_numbers_survive(take: Take, tmp_path: Path, index: int) -> None:
    """Frame numbers may be timestamps in microseconds."""
    value = replace(take[index], frame_ids=take[1].frame_ids + 2**33)
    path = save(value, tmp_path / "x.parquet")
    np.testing.assert_array_equal(load(path).frame_ids, value.frame_ids)
    assert set(pq.read_table(path)["frame"].to_pylist()) == set(value.frame_ids.tolist())


def rig_text(take: Take, tmp_path: Path, old: str, new: str) -> Path:
    path = write_rig(take[0], tmp_path / "rig.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "near"), [("unit:", "units:", "unit"), ("size_wh:", "size_hw:", "size_wh")]
)
def test_a_misspelt_key_names_the_nearest(
    take: Take, tmp_path: Path, old: str, new: str, near: str
) -> None:
    path = rig_text(take, tmp_path, old, new)
    data = yaml.safe_load(path.read_text())
    if near == "size_wh":  # keep the right key, too: a missing one is another error
        data["cameras"][0]["size_wh"] = data["cameras"][0]["size_hw"]
        path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=f"did you mean '{near}'") as caught:
        read_rig(path)
    assert "rig.yaml" in caught.value.what
    assert new.rstrip(":") in caught.value.what


def test_a_missing_key_is_named(take: Take, tmp_path: Path) -> None:
    path = rig_text(take, tmp_path, "size_wh:", "size_hw:")
    with pytest.raises(ConfigError, match=r"cameras\.0\.size_(wh|hw)"):
        read_rig(path)


def test_a_key_given_twice_is_refused(take: Take, tmp_path: Path) -> None:
    path = rig_text(take, tmp_path, "unit: m\n", "unit: m\nunit: mm\n")
    with pytest.raises(ConfigError, match=r"rig\.yaml line \d+.*'unit' is given twice"):
        read_rig(path)


def test_a_camera_that_is_none_is_named(take: Take, tmp_path: Path) -> None:
    data = rig_to_dict(take[0])
    data["cameras"][2]["R"][0][0] += 0.1
    with pytest.raises(InputError, match=r"test: camera cam02: Pose\.R is not a rotation"):
        rig_from_dict(data, "test")
    data = rig_to_dict(take[0])
    data["cameras"][1]["K"] = [[1.0, 2.0], [3.0]]
    with pytest.raises(InputError, match="test: camera cam01"):
        rig_from_dict(data, "test")


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "a: [1,\n", "format: multiview-rig/9\n"])
def test_what_is_no_rig_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"rig\.yaml"):
        load(path)


def test_an_old_file_survives_a_failed_write(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(take[0], tmp_path / "rig.yaml")
    before = path.read_text()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"rig\.yaml: cannot be written \(No space"):
        save(replace(take[0], about="new"), path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["rig.yaml"]
