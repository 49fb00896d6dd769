"""Tables, joint angles, JSON of hands and 2D files of a take."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from export_take import LOST, write_take

from multiview.bootstrap.joints import measure_joints
from multiview.cli import main
from multiview.errors import InputError
from multiview.formats.exports.hands_3d_json import write_openpose_3d, write_panoptic_3d
from multiview.formats.exports.motion import even_clock
from multiview.precomputed import read_precomputed
from multiview.stages.export import FORMATS


def export(run: Path, out: Path, format: str, *options: str) -> Path:
    assert main(["export", str(run), "--out", str(out), "--format", format, *options]) == 0
    return out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    rows = rows_of(export(run, tmp_path / "a.csv", "csv", "--unit", "mm"))
    table = pq.read_table(export(run, tmp_path / "a.parquet", "parquet", "--unit", "mm"))
    assert list(rows[0]) == table.column_names
    assert len(rows) == table.num_rows == points.valid.size
    at = dict(zip(("frame", "hand", "keypoint"), ("2", "right", "index2"), strict=True))
    n = next(i for i, r in enumerate(rows) if all(r[k] == v for k, v in at.items()))
    xyz = [float(rows[n][f"{a}_mm"]) for a in "xyz"]
    np.testing.assert_allclose(xyz, 1000 * points.xyz_world[2, 1, 6], rtol=1e-12)
    assert [float(rows[n][f"{a}_sd_mm"]) for a in "xyz"] == pytest.approx([1, 2, 3])
    assert float(rows[n]["time_s"]) == pytest.approx(7.0 + 2 / 25 + 5e-3)  # the middle camera's
    assert (rows[n]["views"], float(rows[n]["reprojection_px"])) == ("3", 1.5)
    lost = rows[np.ravel_multi_index(LOST, points.valid.shape)]
    assert (lost["keypoint"], lost["x_mm"], lost["x_sd_mm"], lost["views"]) == (
        "index3",
        "",
        "",
        "0",
    )
    x = np.array(table["x_mm"])
    np.testing.assert_array_equal(np.isnan(x), ~points.valid.ravel())
    assert float(rows[n]["x_mm"]) == x[n]


def test_turned_tables_turn_their_standard_deviations(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    row = rows_of(export(run, tmp_path / "a.csv", "csv", "--axes", "y-up"))[0]
    x, y, z = points.xyz_world[0, 0, 0]
    np.testing.assert_allclose([float(row[f"{a}_m"]) for a in "xyz"], [x, z, -y], rtol=1e-12)
    assert [1000 * float(row[f"{a}_sd_m"]) for a in "xyz"] == pytest.approx([1, 3, 2])


def test_angles_are_those_that_are_measured(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    rows = rows_of(export(run, tmp_path / "angles.csv", "angles"))
    angles = measure_joints(points)
    assert len(rows) == angles.flexion_deg.size
    for f, h, finger, j in ((0, 0, 0, 0), (1, 1, 2, 1), (3, 0, 4, 2)):
        row = rows[np.ravel_multi_index((f, h, finger, j), angles.flexion_deg.shape)]
        joint = (("CMC", "MCP", "IP") if finger == 0 else ("MCP", "PIP", "DIP"))[j]
        assert (row["hand"], row["joint"]) == (points.hands[h], joint)
        assert float(row["flexion_deg"]) == pytest.approx(angles.flexion_deg[f, h, finger, j])
        assert float(row["flexion_sd_deg"]) == pytest.approx(angles.flexion_sd_deg[f, h, finger, j])
        if j:
            assert row["abduction_deg"] == ""
        else:
            assert float(row["abduction_deg"]) == pytest.approx(angles.abduction_deg[f, h, finger])
    gone = [r for r in rows if (r["frame"], r["hand"]) == ("5", "left")]
    assert {r["flexion_deg"] for r in gone} == {""}


def test_panoptic_projects_by_its_own_formula(tmp_path: Path) -> None:
    run, points, rig = write_take(tmp_path)
    out = export(run, tmp_path / "seq1", "panoptic")
    cameras = json.loads((out / "calibration_seq1.json").read_text())["cameras"]
    (person,) = json.loads((out / "hdHand3d" / "handRecon3D_hd00000002.json").read_text())["people"]
    cm = np.array(person["right_hand"]["landmarks"]).reshape(21, 3)
    valid = points.valid[2, 1]
    assert person["right_hand"]["validity"] == valid.astype(int).tolist()
    for camera, ours in zip(cameras, rig.project(points.xyz_world[2, 1]), strict=True):
        K, R, t, k = (np.array(camera[n]) for n in ("K", "R", "t", "distCoef"))
        x = R @ cm.T + t
        x = x[:2] / x[2]
        r = (x**2).sum(0)
        radial = 1 + k[0] * r + k[1] * r**2 + k[4] * r**3
        u = x[0] * radial + 2 * k[2] * x[0] * x[1] + k[3] * (r + 2 * x[0] ** 2)
        v = x[1] * radial + 2 * k[3] * x[0] * x[1] + k[2] * (r + 2 * x[1] ** 2)
        theirs = np.stack([K[0, 0] * u + K[0, 2], K[1, 1] * v + K[1, 2]], -1)
        np.testing.assert_allclose(theirs[valid], ours[valid], atol=1e-4)  # six digits of a cm
    assert person["right_hand"]["visibility"][4] == [0, 2]
    last = json.loads((out / "hdHand3d" / "handRecon3D_hd00000005.json").read_text())["people"]
    assert list(last[0]) == ["id", "right_hand"]


def test_openpose_3d(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    out = export(run, tmp_path / "take", "openpose", "--unit", "mm")
    (person,) = json.loads((out / "take_000000000002_keypoints.json").read_text())["people"]
    right = np.array(person["hand_right_keypoints_3d"]).reshape(21, 4)
    valid = points.valid[2, 1]
    np.testing.assert_allclose(right[valid, :3], 1000 * points.xyz_world[2, 1][valid], atol=1e-6)
    assert right[:, 3].tolist() == valid.astype(float).tolist()
    assert right[7].tolist() == [0, 0, 0, 0]


def test_hands_of_several_persons(tmp_path: Path) -> None:
    _, points, rig = write_take(tmp_path)
    crowd = replace(points, hands=("right-1", "left-2"))
    write_openpose_3d(crowd, tmp_path / "op")
    write_panoptic_3d(crowd, rig, tmp_path / "pan")
    people = json.loads((tmp_path / "op" / "op_000000000000_keypoints.json").read_text())["people"]
    assert [p["person_id"] for p in people] == [[0], [1]]
    assert [any(p["hand_left_keypoints_3d"]) for p in people] == [False, True]
    file = tmp_path / "pan" / "hdHand3d" / "handRecon3D_hd00000000.json"
    people = json.loads(file.read_text())["people"]
    assert [list(p) for p in people] == [["id", "right_hand"], ["id", "left_hand"]]
    with pytest.raises(InputError, match="one is named 'mouse'"):
        write_openpose_3d(replace(points, hands=("left", "mouse")), tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_deeplabcut_is_read_back(tmp_path: Path) -> None:
    run, points, rig = write_take(tmp_path)
    out = export(run, tmp_path / "dlc", "deeplabcut")
    assert sorted(p.name for p in out.iterdir()) == [f"{n}DLC_multiview.csv" for n in rig.names]
    back = read_precomputed(out / "cam01DLC_multiview.csv", trust_labels=True)
    assert (back.hands, back.frame_ids.tolist()) == (("left", "right"), [0, 1, 2, 4, 5])
    np.testing.assert_allclose(back.xy_px[0], rig.project(points.xyz_world)[1], atol=5e-5)


def test_sleap_is_read_back(tmp_path: Path) -> None:
    pytest.importorskip("sleap_io", reason="needs sleap-io")
    run, points, rig = write_take(tmp_path)
    back = read_precomputed(export(run, tmp_path / "take.slp", "slp"), trust_labels=True)
    assert (back.camera_names, back.hands) == (rig.names, ("left", "right"))
    assert back.frame_ids.tolist() == [0, 1, 2, 4, 5]
    np.testing.assert_allclose(back.xy_px, rig.project(points.xyz_world), atol=1e-9)


def test_detections_as_they_were_found(tmp_path: Path) -> None:
    """Of a detect folder, with the detector's confidence; read back by the CSV reader."""
    run, points, rig = write_take(tmp_path)
    back = read_precomputed(export(run.parent / "detect", tmp_path / "a.csv", "csv"))
    # without trust in labels slots are filled from 0: the last frame has one hand
    truth = rig.project(points.xyz_world)
    np.testing.assert_allclose(back.xy_px[:, :4], truth[:, :4], rtol=1e-12)
    assert set(back.conf[back.valid].tolist()) == {0.875}
    out = export(run.parent / "detect", tmp_path / "d", "deeplabcut")
    assert ",0.8750" in (out / "cam00DLC_multiview.csv").read_text()


@pytest.mark.parametrize(
    ("run", "format", "out", "options", "says"),
    [
        ("tri", "trc", "a.c3d", [], "ends in .trc"),
        ("tri", "trc", "a.trc", ["--unit", "cm"], "trc is in m or mm: not in cm"),
        ("tri", "angles", "a.csv", ["--unit", "mm"], "angles holds no lengths"),
        ("tri", "gltf", "a.glb", ["--axes", "z-up"], "gltf keeps the axes y-up"),
        ("tri", "csv", "a.csv", ["--fps", "30"], "--fps means nothing for csv"),
        ("tri", "trc", "a.trc", ["--fps", "30"], "--fps is for takes without times"),
        ("tri", "panoptic", "full", [], "exists"),
        ("detect", "trc", "a.trc", [], "holds 2D keypoints"),
        ("detect", "csv", "a.csv", ["--unit", "mm"], "mean nothing for 2D"),
        ("full", "csv", "a.csv", [], "neither points.parquet nor detections.parquet"),
    ],
)
def test_bad_input(
    run: str,
    format: str,
    out: str,
    options: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    write_take(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    command = ["export", str(tmp_path / run), "--out", str(tmp_path / out), "--format", format]
    assert main([*command, *options]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_clock() -> None:
    ids = np.arange(100)
    rng = np.random.default_rng(0)
    jitter = rng.uniform(-2e-3, 2e-3, 100)
    clock = even_clock(ids / 29.97 + jitter, ids)
    assert clock.rate_hz == pytest.approx(29.97, abs=0.01)
    assert clock.tick.tolist() == ids.tolist()
    assert clock.off_s < 3e-3  # 2 ms, and what the fit is off
    keep = np.r_[0:40, 55:100]
    assert even_clock(ids[keep] / 29.97, keep).tick.tolist() == keep.tolist()
    twice = ids / 30.0
    twice[50] = twice[49] + 1e-4
    with pytest.raises(InputError, match="frames 49 and 50 are"):
        even_clock(twice, ids)
    with pytest.raises(InputError, match="frame intervals"):
        even_clock(np.r_[0.0, 0.04, 0.08, 4000.0], np.arange(4))
    # a rate that changes by a third half-way has no even clock, though no two frames are too close
    with pytest.raises(InputError, match=r"no even clock|off an even clock"):
        even_clock(np.cumsum(np.where(ids < 50, 1 / 30, 1 / 22)), ids)


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_take_in_which_nothing_was_found(format: str, tmp_path: Path) -> None:
    """It is written all the same, as a take of missing points."""
    needs = {"c3d": "ezc3d", "slp": "sleap_io"}
    if format in needs:
        pytest.importorskip(needs[format], reason=f"needs {needs[format]}")
    run, _, _ = write_take(tmp_path, found=False)
    out = tmp_path / ("out" + (FORMATS[format].suffixes or ("",))[0])
    files = (
        [export(run, out, format)]
        if FORMATS[format].suffixes
        else list(export(run, out, format).rglob("*"))
    )
    assert files
    assert all(p.stat().st_size for p in files)


def test_a_folder_in_the_way_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, _, _ = write_take(tmp_path)
    (tmp_path / "a.trc").mkdir()
    assert main(["export", str(run), "--out", str(tmp_path / "a.trc"), "--format", "trc"]) == 2
    assert "a.trc: cannot be written" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", str(run), "--out", f"{tmp_path}/file/op", "--format", "openpose"]) == 2
    assert "cannot be written" in capsys.readouterr().err
