"""Every dataset format gives back what it has place for, and its pictures."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dataset_take import camera_of, make_take

from multiview.core import HandSamples
from multiview.core.samples import BYTES, FLOATS, INTEGERS, TEXTS, concatenate, hand_box
from multiview.errors import InputError
from multiview.formats.datasets import LAYOUTS, load_dataset, save_dataset
from multiview.formats.datasets.pictures import Pictures
from multiview.images import read_image

needs_sleap = pytest.mark.skipif(
    find_spec("sleap_io") is None, reason="sleap-io (extra sleap) is absent"
)
# A thousandth of a pixel is what text formats keep; 3D formats keep all digits and project anew.
TEXT_PX, SAME_PX, SAME_M = 0.6e-3, 1e-6, 1e-9
RIGHT_ONLY = {"panopticdb", "freihand"}
STRAIGHT = {"freihand", "interhand"}
SIDED = set(LAYOUTS) - {"yolo"}
NAMES = [pytest.param(n, marks=needs_sleap) if n == "slp" else n for n in LAYOUTS]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> tuple[HandSamples, Path]:
    root = tmp_path_factory.mktemp("labels")
    return make_take(root), root


def kept(samples: HandSamples, name: str) -> HandSamples:
    """The hands that a format takes."""
    if name in RIGHT_ONLY:
        samples = samples.take(samples.right == 1)
    if name == "freihand":
        samples = samples.take(np.isfinite(samples.xyz_world).all((1, 2)))
    return samples


def paired(again: HandSamples, samples: HandSamples) -> HandSamples:
    """Order what was read as what was written, by the labels; asserts that all are there."""
    a, b = np.nan_to_num(again.xy_px), np.nan_to_num(samples.xy_px)
    distance = np.abs(b[:, None] - a[None]).max((-1, -2))
    order = distance.argmin(1)
    assert sorted(order) == list(range(len(samples)))
    return again.take(order)


def same_labels(again: HandSamples, samples: HandSamples, tolerance: float) -> None:
    assert len(again) == len(samples) > 5
    np.testing.assert_array_equal(again.labelled, samples.labelled)
    np.testing.assert_allclose(again.xy_px, samples.xy_px, atol=tolerance)
    np.testing.assert_array_equal(again.size_wh, samples.size_wh)


def straight_labels(samples: HandSamples) -> HandSamples:
    """Labels as a lens without distortion has them, computed from the pinhole equation alone."""
    xy = samples.xy_px.copy()
    for n in range(len(samples)):
        c = camera_of(samples, n)
        cam = samples.xyz_world[n] @ c.cam_from_world.R.T + c.cam_from_world.t
        image = cam @ c.intrinsics.K.T
        xy[n] = np.where(samples.labelled[n][:, None], image[:, :2] / image[:, 2:], np.nan)
    return replace(samples, xy_px=xy)


@pytest.mark.parametrize("name", NAMES)
def test_labels_come_back(name: str, take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = kept(take[0], name), take[1]
    found = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root))
    assert found.format == name
    wanted = straight_labels(samples) if name in STRAIGHT else samples
    if name == "webdataset":  # labels of the crop
        for n in range(len(samples)):
            offset = found.samples.cameras[found.samples.lens[n]].intrinsics.K
            shift = camera_of(samples, n).intrinsics.K[:2, 2] - offset[:2, 2]
            np.testing.assert_allclose(found.samples.xy_px[n] + shift, samples.xy_px[n])
    else:
        again = paired(found.samples, wanted)
        tolerance = TEXT_PX if name not in {"parquet", *STRAIGHT, "panoptic"} else SAME_PX
        same_labels(again, wanted, tolerance)
        if name in SIDED:
            np.testing.assert_array_equal(again.right, samples.right)
    for image in set(found.samples.image.tolist()):
        assert found.pictures.read(image).size


@pytest.mark.parametrize("name", ["parquet", "coco", "yolo", "wholebody", "panoptic", "webdataset"])
def test_visibility_1_and_2_come_back(
    name: str, take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    assert set(np.unique(samples.visibility)) >= {1, 2}
    again = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root)).samples
    if name != "webdataset":
        again = paired(again, samples)
    np.testing.assert_array_equal(again.visibility, samples.visibility)


@pytest.mark.parametrize("name", ["parquet", "coco", "yolo", "wholebody"])
def test_boxes_come_back(name: str, take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = take
    again = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root)).samples
    again = paired(again, samples)
    np.testing.assert_allclose(again.box_xywh, samples.box_xywh, atol=TEXT_PX)


@pytest.mark.parametrize("name", ["hand_labels", "freihand", "interhand", "yolo", "wholebody"])
def test_splits_come_back(name: str, take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = kept(take[0], name), take[1]
    again = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root)).samples
    wanted = straight_labels(samples) if name in STRAIGHT else samples
    assert paired(again, wanted).split.tolist() == samples.split.tolist()
    assert set(samples.split) == {"train", "val"}


def test_parquet_keeps_everything_bit_by_bit(
    take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    again = load_dataset(save_dataset(samples, tmp_path / "d", "parquet", pictures=root)).samples
    for name in (*FLOATS, *INTEGERS, *BYTES, *TEXTS):
        if name != "image":
            np.testing.assert_array_equal(getattr(again, name), getattr(samples, name), name)
    assert (again.views, again.skeleton, again.unit) == (
        samples.views,
        samples.skeleton,
        samples.unit,
    )
    assert replace(again, image=samples.image).digest == samples.digest
    # every label can be traced to the views and the round that made it
    n, k = 5, 8
    assert again.views_of(n, k) == samples.views_of(n, k)
    assert len(again.views_of(n, k)) == again.n_inlier[n, k]
    assert set(again.round) == {2}


def test_webdataset_keeps_everything_but_the_picture(
    take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    again = load_dataset(save_dataset(samples, tmp_path / "d", "webdataset", pictures=root)).samples
    moved = {"xy_px", "box_xywh", "image", "size_wh", "lens"}
    for name in {*FLOATS, *INTEGERS, *BYTES, *TEXTS} - moved:
        np.testing.assert_array_equal(getattr(again, name), getattr(samples, name), name)
    assert again.views == samples.views


def test_coco_keeps_weights_and_provenance(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = take
    again = load_dataset(save_dataset(samples, tmp_path / "d", "coco", pictures=root)).samples
    again = paired(again, samples)
    np.testing.assert_allclose(again.weight, samples.weight, atol=0.6e-4)
    np.testing.assert_allclose(again.sigma_px, samples.sigma_px, atol=TEXT_PX)
    for name in ("session", "camera", "subject", "source", "rig_digest", "frame_id", "round"):
        np.testing.assert_array_equal(getattr(again, name), getattr(samples, name), name)


@pytest.mark.parametrize("name", ["interhand", "panoptic"])
def test_3d_and_cameras_come_back(
    name: str, take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    again = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root)).samples
    again = paired(again, straight_labels(samples) if name in STRAIGHT else samples)
    np.testing.assert_allclose(again.xyz_world, samples.xyz_world, atol=SAME_M)
    np.testing.assert_array_equal(again.frame_id, samples.frame_id)
    for n in range(len(samples)):
        a, b = camera_of(again, n), camera_of(samples, n)
        np.testing.assert_allclose(a.cam_from_world.t, b.cam_from_world.t, atol=SAME_M)
        np.testing.assert_allclose(a.intrinsics.K, b.intrinsics.K)


def test_freihand_is_in_the_camera_frame(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = kept(take[0], "freihand"), take[1]
    again = load_dataset(save_dataset(samples, tmp_path / "d", "freihand", pictures=root)).samples
    again = paired(again, straight_labels(samples))
    for n in range(len(samples)):
        cam = camera_of(samples, n).cam_from_world.apply(samples.xyz_world[n])
        np.testing.assert_allclose(again.xyz_world[n], cam, atol=SAME_M)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_show_the_hand_where_the_labels_are(
    name: str, take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    """A dot was drawn on every label of the distorted pictures: each format shows it there."""
    samples, root = kept(take[0], name), take[1]
    found = load_dataset(save_dataset(samples, tmp_path / "d", name, pictures=root))
    bright = []
    for n in range(len(found.samples)):
        picture = found.pictures.read(found.samples.image[n])
        x, y = np.rint(found.samples.xy_px[n][found.samples.labelled[n]]).astype(int).T
        bright += picture[y, x, 0].tolist()
    # the dot falls to 235 exp(-0.5 / 4.5) = 210 half a pixel away; resampling blurs it
    assert np.quantile(bright, 0.02) > 150


def test_the_same_samples_give_the_same_bytes(
    take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    for out in ("a", "b"):
        save_dataset(samples, tmp_path / out, "webdataset", pictures=root)
    shards = sorted(p.name for p in (tmp_path / "a").glob("*.tar"))
    assert len(shards) == 2
    for name in shards:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with tarfile.open(tmp_path / "a" / shards[0]) as tar:
        assert [m.name for m in tar][:2] == ["00000000.jpg", "00000000.json"]


def test_shards_are_cut_at_the_stated_number(
    take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    from multiview.formats.datasets.webdataset import read_webdataset, write_webdataset

    samples, root = take
    write_webdataset(samples, tmp_path, Pictures.below(root), shard=5)
    again = read_webdataset(tmp_path).samples
    assert len(again) == len(samples)
    assert len(list(tmp_path.glob("train-*.tar"))) == -(-int((samples.split == "train").sum()) // 5)


@pytest.mark.parametrize("name", ["parquet", "coco", "yolo", "hand_labels", "wholebody"])
def test_a_picture_is_there_once(name: str, take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = take
    path = save_dataset(samples, tmp_path / "d", name, pictures=root)
    files = [p for p in path.rglob("*.jpg")]
    stored = {p.stat().st_ino for p in files}
    assert len(stored) == len(set(samples.image.tolist()))
    # links to the pictures that were labelled
    assert stored == {(root / i).stat().st_ino for i in samples.image.tolist()}


def test_formats_follow_one_another(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    """Through six layouts and back; nothing drifts."""
    samples, root = kept(take[0], "freihand"), take[1]
    chain = ["parquet", "coco", "wholebody", "panopticdb", "yolo", "coco"]
    pictures: Pictures | Path = root
    current = samples
    for step, name in enumerate(chain):
        if name == "panopticdb":
            current = replace(current, split=np.full(len(current), "train"))
        path = save_dataset(current, tmp_path / f"{step}", name, pictures=pictures)
        found = load_dataset(path)
        current, pictures = found.samples, found.pictures
    same_labels(paired(current, samples), samples, len(chain) * TEXT_PX)


def test_sessions_are_joined(tmp_path: Path) -> None:
    from multiview.formats.datasets import join

    parts = []
    for name in ("one", "two"):
        samples = make_take(tmp_path / name, session=name)
        path = save_dataset(samples, tmp_path / f"{name}.parquet", pictures=tmp_path / name)
        parts.append(load_dataset(path))
    samples, pictures = join(parts)
    again = load_dataset(save_dataset(samples, tmp_path / "both.coco", pictures=pictures)).samples
    assert len(again) == 2 * len(parts[0].samples)
    assert len(set(again.image.tolist())) == 2 * len(set(parts[0].samples.image.tolist()))
    assert set(again.session) == {"one", "two"}


def test_joined_samples_keep_their_cameras(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, other = take[0], make_take(tmp_path, distortion=0.5)
    both = concatenate([samples, other])
    for n in (0, 3, 5):
        assert camera_of(both, n) is camera_of(samples, n)
        assert camera_of(both, len(samples) + n) is camera_of(other, n)
        assert both.views_of(len(samples) + n, 4) == other.views_of(n, 4)


def test_more_than_eight_views_are_traced() -> None:
    from multiview.core.samples import pack_views

    inlier = np.zeros((1, 2, 11), bool)
    inlier[0, 1, [0, 7, 8, 10]] = True
    packed = pack_views(inlier)
    assert packed.shape == (1, 2, 2)
    assert np.bitwise_count(packed).sum(-1).tolist() == [[0, 4]]


def test_the_box_holds_the_hand_within_the_picture() -> None:
    xy = np.array([[[10.0, 20.0], [110.0, 60.0]], [[2.0, 3.0], [np.nan, np.nan]]])
    box = hand_box(xy, np.array([[112, 240], [320, 240]]))
    # 5 % of 100 px on every side, cut at the right edge; half a pixel at least
    np.testing.assert_allclose(box, [[5, 15, 106.5, 50], [1.5, 2.5, 1, 1]])


def test_panoptic_visibility_lists_cameras(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "panoptic", pictures=root)
    sequence = path / "take-1"
    calibration = json.loads((sequence / "calibration_take-1.json").read_text())
    frame = json.loads((sequence / "hdHand3d" / "handRecon3D_hd00000070.json").read_text())
    hand = frame["people"][0]["right_hand"]
    n = next(
        i
        for i in range(len(samples))
        if (samples.frame_id[i], samples.right[i], samples.camera[i]) == (70, 1, "cam02")
    )
    assert calibration["cameras"][2]["name"] == "cam02"
    assert [2 in seen for seen in hand["visibility"]] == (samples.visibility[n] == 2).tolist()
    t = np.array(calibration["cameras"][2]["t"]).ravel()
    np.testing.assert_allclose(t, 100 * camera_of(samples, n).cam_from_world.t)
    landmarks = np.array(hand["landmarks"]).reshape(21, 3)
    np.testing.assert_allclose(landmarks, 100 * np.nan_to_num(samples.xyz_world[n]))


def test_interhand_orders_tip_first_and_the_right_hand_first(
    take: tuple[HandSamples, Path], tmp_path: Path
) -> None:
    samples, root = take
    path = save_dataset(samples, tmp_path / "d", "interhand", pictures=root)
    head = path / "annotations" / "val" / "InterHand2.6M_val"
    joints = json.loads(Path(f"{head}_joint_3d.json").read_text())["0"]["71"]
    cameras = json.loads(Path(f"{head}_camera.json").read_text())["0"]
    assert joints["hand_type"] == "interacting"
    world = np.array(joints["world_coord"])
    here = samples.frame_id == 71
    for side, first in ((1, 0), (0, 21)):
        n = np.flatnonzero(here & (samples.right == side))[0]
        xyz = samples.xyz_world[n] * 1000
        names = [*(["thumb4", "thumb3", "thumb2", "thumb1", "index4"]), "wrist"]
        for at, name in zip([0, 1, 2, 3, 4, 20], names, strict=True):
            k = samples.skeleton.keypoints.index(name)
            np.testing.assert_allclose(world[first + at], xyz[k], atol=1e-6)
    camera = camera_of(samples, n)
    there = np.array(cameras["camrot"][camera.name]) @ (
        samples.xyz_world[n, 0] * 1000 - np.array(cameras["campos"][camera.name])
    )
    np.testing.assert_allclose(there, 1000 * camera.cam_from_world.apply(samples.xyz_world[n, 0]))


def test_a_fisheye_lens_is_straightened_for_freihand(tmp_path: Path) -> None:
    from multiview.core import Camera, Intrinsics, Pose
    from multiview.formats.datasets.pictures import straightened

    K = np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]])
    lens = Intrinsics(K=K, dist=np.array([0.05, -0.01, 0, 0]), size_wh=(320, 240), model="fisheye")
    rig_camera = Camera(name="a", intrinsics=lens, cam_from_world=Pose.identity())
    xyz = np.array([[0.2, 0.1, 1.0], [-0.3, -0.2, 1.0]])
    picture = np.zeros((240, 320, 3), np.uint8)
    y, x = np.mgrid[:240, :320]
    for px, py in rig_camera.project(xyz):
        dot = 235 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4.5)
        picture = np.maximum(picture, dot[..., None].astype(np.uint8))
    pinhole = np.rint((xyz @ K.T)[:, :2] / xyz[:, 2:]).astype(int)
    assert (straightened(picture, rig_camera)[pinhole[:, 1], pinhole[:, 0], 0] > 150).all()


def camera_pose():
    from multiview.core import Pose

    return Pose.identity()


def test_read_image_reads_what_was_written(take: tuple[HandSamples, Path]) -> None:
    assert read_image(take[1] / take[0].image[0]).shape == (240, 320, 3)


def test_across_file_systems_a_picture_is_copied_once(
    take: tuple[HandSamples, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links to another file system fail: one hand has a copy, the other a link to it."""
    import errno
    import os

    samples, root = take
    real = os.link

    def link(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(root):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    path = save_dataset(samples, tmp_path / "d", "hand_labels", pictures=root)
    files = list(path.rglob("*.jpg"))
    assert len(files) == len(samples)
    assert len({p.stat().st_ino for p in files}) == len(set(samples.image.tolist()))
    originals = {(root / i).stat().st_ino for i in samples.image.tolist()}
    assert not originals & {p.stat().st_ino for p in files}


def test_the_bare_table_by_load_and_save(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    from multiview.formats.files import load, save

    again = load(save(take[0], tmp_path / "hands.parquet"))
    assert isinstance(again, HandSamples)
    assert again.digest == take[0].digest


def test_crops_go_on_to_other_layouts(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    """Two hands of one picture are two crops: each keeps its own."""
    samples, root = take
    crops = load_dataset(save_dataset(samples, tmp_path / "w", "webdataset", pictures=root))
    path = save_dataset(crops.samples, tmp_path / "c", "coco", pictures=crops.pictures)
    found = load_dataset(path)
    path = save_dataset(found.samples, tmp_path / "p", "parquet", pictures=found.pictures)
    found = load_dataset(path)
    assert len(set(found.samples.image.tolist())) == len(samples)
    np.testing.assert_allclose(found.samples.xy_px, crops.samples.xy_px, atol=TEXT_PX)
    for n in range(len(samples)):
        crop = crops.pictures.read_bytes(crops.samples.image[n])
        assert found.pictures.read_bytes(found.samples.image[n]) == crop
    with pytest.raises(InputError, match="both the picture of one camera and frame"):
        save_dataset(crops.samples, tmp_path / "i", "panoptic", pictures=crops.pictures)


def test_a_take_is_not_joined_twice(take: tuple[HandSamples, Path], tmp_path: Path) -> None:
    from multiview.formats.datasets import join

    samples, root = take
    found = load_dataset(save_dataset(samples, tmp_path / "d", "parquet", pictures=root))
    with pytest.raises(InputError, match="same hand: session 'take 1'"):
        join([found, found])
    sides = []
    for right in (0, 1):
        part = samples.take(samples.right == right)
        path = save_dataset(part, tmp_path / f"{right}", "parquet", pictures=root)
        sides.append(load_dataset(path))
    assert len(join(sides)[0]) == len(samples)
