"""Rigs to other programs and back, and what their own formulas make of the numbers in the files.

Every oracle projects by the format's documented formula, on numbers parsed from the file without
the project's reader: units, pixel centres and the transform's direction all show in the pixels.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from multiview.cli import main
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.errors import InputError
from multiview.formats.files import load, save
from multiview.formats.rigs.foreign import in_unit, read_any_rig, write_foreign_rig
from multiview.synth import make_rig

# float64 through text with all digits, a rotation through a vector or quaternion, 1000 mm a metre
SAME_PX = 1e-7
FILES = {
    "opencv": "opencv",
    "anipose": "calibration.toml",
    "pose2sim": "Calib.toml",
    "caliscope": "camera_array.toml",
    "colmap": "model",
    "kalibr": "camchain.yaml",
    "panoptic": "calibration_a.json",
}
FISHEYE = {"opencv", "anipose", "caliscope", "colmap", "kalibr"}
XYZ_WORLD = np.random.default_rng(1).uniform(-0.1, 0.1, (40, 3))


def rig_of(coefficients: int = 4, model: str = "brown") -> Rig:
    rig = make_rig(np.random.default_rng(0), 3)
    lens = np.array([0.05, -0.02, 4e-4, -3e-4, 0.01, 0.03, -0.01, 0.002, 1e-4, 2e-4, -1e-4, 5e-5])
    cameras = []
    for n, c in enumerate(rig.cameras):
        i = replace(c.intrinsics, dist=lens[:coefficients] * (1 + 0.1 * n), model=model)
        cameras.append(replace(c, name=f"port_{n + 1}", intrinsics=i))
    return replace(rig, cameras=tuple(cameras))


def in_first_camera(rig: Rig, xyz_world: np.ndarray) -> np.ndarray:
    """What a format without a world keeps."""
    return rig.cameras[0].cam_from_world.apply(xyz_world)


@pytest.mark.parametrize("format", list(FILES))
def test_a_rig_comes_back(format: str, tmp_path: Path) -> None:
    rig, path = rig_of(), tmp_path / FILES[format]
    write_foreign_rig(rig, path, format)
    back = read_any_rig(path)
    assert (back.names, back.unit) == (rig.names, "m")
    assert [c.intrinsics.size_wh for c in back.cameras] == [(1280, 720)] * 3
    xyz = in_first_camera(rig, XYZ_WORLD) if format == "kalibr" else XYZ_WORLD
    np.testing.assert_allclose(back.project(xyz), rig.project(XYZ_WORLD), atol=SAME_PX)


@pytest.mark.parametrize("format", sorted(FISHEYE))
def test_a_fisheye_comes_back(format: str, tmp_path: Path) -> None:
    rig, path = rig_of(4, "fisheye"), tmp_path / FILES[format]
    write_foreign_rig(rig, path, format)
    back = read_any_rig(path)
    assert [c.intrinsics.model for c in back.cameras] == ["fisheye"] * 3
    xyz = in_first_camera(rig, XYZ_WORLD) if format == "kalibr" else XYZ_WORLD
    np.testing.assert_allclose(back.project(xyz), rig.project(XYZ_WORLD), atol=SAME_PX)


@pytest.mark.parametrize(
    ("format", "coefficients", "model", "says"),
    [
        *[(f, 4, "fisheye", "cannot hold a fisheye") for f in sorted(set(FILES) - FISHEYE)],
        ("anipose", 8, "brown", "holds 5 distortion coefficients, this lens has 8"),
        ("panoptic", 8, "brown", "k4"),
        ("kalibr", 5, "brown", "k3"),
        ("colmap", 12, "brown", "s1"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    format: str, coefficients: int, model: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says) as error:
        write_foreign_rig(rig_of(coefficients, model), tmp_path / FILES[format], format)
    assert "camera port_1" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_large_lenses_fit_where_there_is_a_place(tmp_path: Path) -> None:
    for format, coefficients in (("opencv", 12), ("colmap", 8), ("anipose", 5), ("panoptic", 5)):
        rig, path = rig_of(coefficients), tmp_path / FILES[format]
        write_foreign_rig(rig, path, format)
        np.testing.assert_allclose(
            read_any_rig(path).project(XYZ_WORLD), rig.project(XYZ_WORLD), atol=SAME_PX
        )


# --- oracles ------------------------------------------------------------------------------------


def cv2_pixels(K, dist, rotation, t, xyz):
    return cv2.projectPoints(xyz, np.array(rotation), np.array(t), np.array(K), np.array(dist))[0][
        :, 0
    ]


def test_colmap_by_its_own_formula(tmp_path: Path) -> None:
    """https://colmap.github.io/format.html, and ``OpenCVCameraModel`` in sensor/models.h."""
    rig = rig_of()
    write_foreign_rig(rig, tmp_path / "m", "colmap")
    lenses = {
        row[0]: (row[1], np.array(row[4:], float))
        for row in map(str.split, (tmp_path / "m" / "cameras.txt").read_text().splitlines())
        if row[0] != "#"
    }
    lines = [x for x in (tmp_path / "m" / "images.txt").read_text().splitlines() if x[:1] != "#"]
    assert lines[1::2] == [""] * 3  # a line of points an image, empty
    for line, ours in zip(lines[::2], rig.project(XYZ_WORLD), strict=True):
        words = line.split()
        w, x, y, z, *t = map(float, words[1:8])
        R = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        model, (fx, fy, cx, cy, k1, k2, p1, p2) = lenses[words[8]]
        assert model == "OPENCV"
        X = XYZ_WORLD @ R.T + t
        u, v = X[:, 0] / X[:, 2], X[:, 1] / X[:, 2]
        r2 = u * u + v * v
        radial = k1 * r2 + k2 * r2 * r2
        du = u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)
        dv = v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v)
        theirs = np.stack([fx * (u + du) + cx, fy * (v + dv) + cy], -1)
        # the same place: their top-left pixel's centre is (0.5, 0.5), ours (0, 0)
        np.testing.assert_allclose(theirs, ours + 0.5, atol=SAME_PX)


@pytest.mark.parametrize(
    ("format", "per_metre"), [("anipose", 1000.0), ("pose2sim", 1.0), ("caliscope", 1.0)]
)
def test_toml_by_opencv(format: str, per_metre: float, tmp_path: Path) -> None:
    """These programs hand the numbers to ``cv2.projectPoints`` and ``cv2.undistortPoints``."""
    rig = rig_of()
    write_foreign_rig(rig, tmp_path / "a.toml", format)
    data = tomllib.loads((tmp_path / "a.toml").read_text())
    tables = [c for k, c in data.get("cameras", data).items() if k != "metadata"]
    for c, ours in zip(tables, rig.project(XYZ_WORLD), strict=True):
        theirs = cv2_pixels(
            c["matrix"], c["distortions"], c["rotation"], c["translation"], XYZ_WORLD * per_metre
        )
        np.testing.assert_allclose(theirs, ours, atol=SAME_PX)


def test_panoptic_by_its_own_formula(tmp_path: Path) -> None:
    """``panutils.projectPoints`` of the Panoptic toolbox, on centimetres."""
    rig = rig_of(5)
    write_foreign_rig(rig, tmp_path / "c.json", "panoptic")
    for c, ours in zip(
        json.loads((tmp_path / "c.json").read_text())["cameras"],
        rig.project(XYZ_WORLD),
        strict=True,
    ):
        K, R, t, k = (np.array(c[n]) for n in ("K", "R", "t", "distCoef"))
        x = R @ (100 * XYZ_WORLD.T) + t
        x = x[:2] / x[2]
        r = x[0] ** 2 + x[1] ** 2
        f = 1 + k[0] * r + k[1] * r**2 + k[4] * r**3
        u = x[0] * f + 2 * k[2] * x[0] * x[1] + k[3] * (r + 2 * x[0] ** 2)
        v = x[1] * f + 2 * k[3] * x[0] * x[1] + k[2] * (r + 2 * x[1] ** 2)
        theirs = np.stack([K[0, 0] * u + K[0, 2], K[1, 1] * v + K[1, 2]], -1)
        np.testing.assert_allclose(theirs, ours, atol=SAME_PX)


def test_kalibr_by_its_own_formula(tmp_path: Path) -> None:
    """Its wiki, "yaml formats": ``T_cn_cnm1`` takes points from the camera before into this one."""
    rig = rig_of(4, "fisheye")
    write_foreign_rig(rig, tmp_path / "k.yaml", "kalibr")
    x = in_first_camera(rig, XYZ_WORLD)
    chain = yaml.safe_load((tmp_path / "k.yaml").read_text())
    for n, ours in enumerate(rig.project(XYZ_WORLD)):
        c = chain[f"cam{n}"]
        if n:
            T = np.array(c["T_cn_cnm1"])
            x = x @ T[:3, :3].T + T[:3, 3]
        fu, fv, pu, pv = c["intrinsics"]
        K = np.array([[fu, 0, pu], [0, fv, pv], [0, 0, 1]])
        D = np.array(c["distortion_coeffs"])
        theirs = cv2.fisheye.projectPoints(x[:, None], np.zeros(3), np.zeros(3), K, D)[0][:, 0]
        np.testing.assert_allclose(theirs, ours, atol=SAME_PX)


def test_opencv_files_by_opencv(tmp_path: Path) -> None:
    rig = rig_of(8)
    write_foreign_rig(rig, tmp_path / "cv", "opencv", "mm")
    for c, ours in zip(rig.cameras, rig.project(XYZ_WORLD), strict=True):
        fs = cv2.FileStorage(str(tmp_path / "cv" / f"{c.name}.yml"), cv2.FILE_STORAGE_READ)
        K, dist, R, t = (
            fs.getNode(n).mat() for n in ("camera_matrix", "distortion_coefficients", "R", "T")
        )
        theirs = cv2_pixels(K, dist, cv2.Rodrigues(R)[0], t, 1000 * XYZ_WORLD)
        np.testing.assert_allclose(theirs, ours, atol=SAME_PX)


# --- units --------------------------------------------------------------------------------------


def test_a_unit_that_is_not_stated_is_not_invented(tmp_path: Path) -> None:
    rig, path = rig_of(), tmp_path / "calibration.toml"
    write_foreign_rig(rig, path, "anipose")
    path.write_text(path.read_text().replace('unit = "mm"\n', ""))
    assert read_any_rig(path).unit == "anipose unit"
    back = read_any_rig(path, unit="mm")
    assert back.unit == "m"
    np.testing.assert_allclose(back.centres_world, rig.centres_world, atol=1e-12)


def test_caliscope_counts_cameras_old_and_new(tmp_path: Path) -> None:
    rig, path = rig_of(), tmp_path / "camera_array.toml"
    write_foreign_rig(rig, path, "caliscope")
    text = path.read_text()
    assert "[cameras.1]\ncam_id = 1\n" in text
    plain = "\n".join(x for x in text.splitlines() if not x.startswith("name"))
    path.write_text(plain)  # as caliscope itself writes it
    assert read_any_rig(path).names == ("cam_1", "cam_2", "cam_3")
    path.write_text(plain.replace("[cameras.", "[cam_").replace("cam_id", "port"))
    assert read_any_rig(path).names == rig.names == ("port_1", "port_2", "port_3")
    assert read_any_rig(path).unit == "m"
    path.write_text("[cam_0]\nport = 0\nsize = [4, 4]\n")
    with pytest.raises(InputError, match="cam_0 is not a calibrated camera"):
        read_any_rig(path)


def test_wrong_units_are_refused(tmp_path: Path) -> None:
    rig = rig_of()
    with pytest.raises(InputError, match="panoptic files are in cm, not in mm"):
        write_foreign_rig(rig, tmp_path / "a.json", "panoptic", "mm")
    unscaled = replace(rig, unit="board square")
    with pytest.raises(InputError, match="scale of this rig is not known"):
        write_foreign_rig(unscaled, tmp_path / "a.json", "panoptic")
    write_foreign_rig(unscaled, tmp_path / "model", "colmap")  # any unit will do there
    assert read_any_rig(tmp_path / "model").unit == "board square"
    write_foreign_rig(rig, tmp_path / "b.json", "panoptic")
    with pytest.raises(InputError, match="is in cm, --unit says mm"):
        read_any_rig(tmp_path / "b.json", unit="mm")


def test_millimetres_and_back() -> None:
    rig = rig_of()
    back = in_unit(in_unit(rig, "mm"), "m")
    np.testing.assert_allclose(back.centres_world, rig.centres_world, rtol=1e-14)


# --- bad files ----------------------------------------------------------------------------------


def test_colmap_refuses_what_is_no_rig(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_foreign_rig(rig_of(), model, "colmap")
    images = model / "images.txt"
    text = images.read_text()
    images.write_text(text + "9 1 0 0 0 0 0 1 1 port_1.png\n\n")
    with pytest.raises(InputError, match="camera port_1 has several images"):
        read_any_rig(model)
    images.write_text(text)
    cameras = model / "cameras.txt"
    cameras.write_text(cameras.read_text().replace("OPENCV", "FOV"))
    with pytest.raises(InputError, match="model FOV"):
        read_any_rig(model)
    images.unlink()
    with pytest.raises(InputError, match=r"images\.txt"):
        read_any_rig(model)


def test_colmap_names_cameras_by_folders(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_foreign_rig(rig_of(), model, "colmap")
    images = model / "images.txt"
    images.write_text(images.read_text().replace("port_1.png", "left/000012.jpg"))
    assert read_any_rig(model).names == ("left", "port_2", "port_3")


def test_other_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("%YAML:1.0\n---\ncamera_matrix: 3\n")
    with pytest.raises(InputError, match=r"a\.yml"):
        read_any_rig(tmp_path / "a.yml")
    (tmp_path / "k.yaml").write_text("cam0: {camera_model: omni, intrinsics: [1, 2, 3, 4]}\n")
    with pytest.raises(InputError, match="cam0 is omni"):
        read_any_rig(tmp_path / "k.yaml")
    (tmp_path / "p.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"p\.json"):
        read_any_rig(tmp_path / "p.json")
    camera = Camera(
        name="a/b",
        intrinsics=Intrinsics(K=np.eye(3) * [9.0, 9.0, 1.0], dist=np.zeros(0), size_wh=(4, 4)),
        cam_from_world=Pose.identity(),
    )
    with pytest.raises(InputError, match="cannot name a file"):
        write_foreign_rig(Rig(cameras=(camera,)), tmp_path / "o", "opencv")


def test_the_command_goes_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rig = rig_of()
    save(rig, tmp_path / "rig.yaml")
    there = ["convert", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "m"), "--to", "colmap"]
    assert main(there) == 0
    assert main(there) == 2  # nothing is overwritten
    assert "exists" in capsys.readouterr().err
    assert main([*there, "--format", "csv"]) == 2
    assert "--format means nothing" in capsys.readouterr().err
    keypoints = ["convert", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "a.parquet")]
    assert main([*keypoints, "--unit", "mm"]) == 2
    assert "nothing for 2D keypoints" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "m"), "--out", str(tmp_path / "back.yaml")]) == 0
    np.testing.assert_allclose(
        load(tmp_path / "back.yaml").project(XYZ_WORLD), rig.project(XYZ_WORLD), atol=SAME_PX
    )
