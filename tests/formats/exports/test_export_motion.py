"""C3D, TRC, USD and glTF of a take, read back by libraries that are not ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_take import FPS, LOST, TICKS, write_take

from multiview.cli import main
from multiview.core import Points3D

# In a y-up world x stays, y is what z was, z is what -y was.
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
FLOAT32 = 1e-6  # of a metre
TEXT_M = 1e-7  # four digits of a millimetre
LABELS = ["left_wrist", "right_wrist", "right_index3"]
AT = [0, 21, 28]  # of LABELS


def export(run: Path, out: Path, format: str, *options: str) -> Path:
    assert main(["export", str(run), "--out", str(out), "--format", format, *options]) == 0
    return out


def on_clock(points: Points3D) -> np.ndarray:
    """The take with the dropped set put back as missing, (6, 42, 3)."""
    xyz = np.full((6, 42, 3), np.nan)
    xyz[TICKS] = points.xyz_world.reshape(5, 42, 3)
    return xyz


def test_trc_by_trc_data_reader(tmp_path: Path) -> None:
    trc = pytest.importorskip("trc", reason="needs trc-data-reader")
    run, points, _ = write_take(tmp_path)
    data = trc.TRCData()
    data.load(export(run, tmp_path / "take.trc", "trc"))
    assert (data["Units"], data["NumFrames"], data["NumMarkers"]) == ("mm", 6, 42)
    assert data["DataRate"] == data["CameraRate"] == FPS
    assert [data["Markers"][n] for n in AT] == LABELS
    np.testing.assert_allclose(data["Time"], np.arange(6) / FPS, atol=1e-6)
    xyz = np.array([data[m] for m in data["Markers"]]).transpose(1, 0, 2)
    np.testing.assert_allclose(xyz / 1000, on_clock(points) @ Y_UP.T, atol=TEXT_M)
    f, h, k = LOST
    assert np.isnan(xyz[TICKS[f], 21 * h + k]).all()


def test_trc_in_metres_in_the_axes_of_the_world(tmp_path: Path) -> None:
    trc = pytest.importorskip("trc", reason="needs trc-data-reader")
    run, points, _ = write_take(tmp_path)
    data = trc.TRCData()
    data.load(export(run, tmp_path / "a.trc", "trc", "--unit", "m", "--axes", "world"))
    assert data["Units"] == "m"
    np.testing.assert_allclose(data["right_wrist"], on_clock(points)[:, 21], atol=TEXT_M)


def test_c3d_by_ezc3d(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d", reason="needs ezc3d")
    run, points, _ = write_take(tmp_path)
    c3d = ezc3d.c3d(str(export(run, tmp_path / "take.c3d", "c3d")))
    point = c3d["parameters"]["POINT"]
    assert point["UNITS"]["value"] == ["mm"]
    assert point["RATE"]["value"] == [FPS]
    assert point["Y_SCREEN"]["value"] == ["+Z"]
    assert [point["LABELS"]["value"][n] for n in AT] == LABELS
    truth = on_clock(points)
    missing = np.isnan(truth).any(-1)
    xyz = c3d["data"]["points"][:3].transpose(2, 1, 0)
    np.testing.assert_allclose(xyz / 1000, truth, atol=FLOAT32)
    residual = c3d["data"]["meta_points"]["residuals"][0].T
    assert (residual[missing] == -1).all()
    # (1 + 4 + 9) / 3 square millimetres; a step of the residual's byte
    expected = np.sqrt(14 / 3)
    np.testing.assert_allclose(residual[~missing], expected, atol=expected / 255)
    masks = c3d["data"]["meta_points"]["camera_masks"].transpose(0, 2, 1)
    assert (masks[0] == ~missing).all()
    assert not masks[1, :, 4].any()  # the thumb's tip, which the second camera does not carry
    assert not masks[3:].any()


def test_c3d_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    run, _, _ = write_take(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "ezc3d", None)
    out = tmp_path / "a.c3d"
    assert main(["export", str(run), "--out", str(out), "--format", "c3d"]) == 2
    assert "multiview-bootstrapping[export]" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.c3d"))


def gltf_tracks(path: Path) -> tuple[dict[tuple[str, str], np.ndarray], np.ndarray]:
    """Every animated value by node and path, and the times, from pygltflib's buffers."""
    pygltflib = pytest.importorskip("pygltflib", reason="needs pygltflib")
    gltf = pygltflib.GLTF2().load_binary(str(path))
    blob = gltf.binary_blob()

    def values(n: int) -> np.ndarray:
        a = gltf.accessors[n]
        view = gltf.bufferViews[a.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[a.type]
        assert a.componentType == pygltflib.FLOAT
        assert view.byteOffset % 4 == 0
        assert view.byteOffset + view.byteLength <= gltf.buffers[0].byteLength == len(blob)
        flat = np.frombuffer(blob, "<f4", a.count * width, view.byteOffset)
        return flat.reshape(a.count, width)

    (animation,) = gltf.animations
    tracks = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        name = gltf.nodes[channel.target.node].name
        tracks[name, channel.target.path] = values(sampler.output)
    (root,) = (gltf.nodes[n] for n in gltf.scenes[gltf.scene].nodes)
    assert sorted(root.children) == list(range(len(gltf.nodes) - 1))
    return tracks, values(animation.samplers[0].input)[:, 0]


def test_gltf_by_pygltflib(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    tracks, times = gltf_tracks(export(run, tmp_path / "take.glb", "gltf"))
    np.testing.assert_allclose(times, np.arange(6) / FPS, atol=1e-6)
    truth = on_clock(points) @ Y_UP.T
    missing = np.isnan(truth).any(-1)
    for n, label in zip(AT, LABELS, strict=True):
        seen = ~missing[:, n]
        np.testing.assert_allclose(tracks[label, "translation"][seen], truth[seen, n], atol=FLOAT32)
        assert ((tracks[label, "scale"] == 0).all(-1) == missing[:, n]).all()
    assert np.isfinite(np.concatenate([t.ravel() for t in tracks.values()])).all()


def test_bones_of_gltf_reach_from_joint_to_joint(tmp_path: Path) -> None:
    """The ends of the octahedron, by the rotation formula of the glTF specification."""
    run, points, _ = write_take(tmp_path)
    tracks, _ = gltf_tracks(export(run, tmp_path / "take.glb", "gltf"))
    truth = on_clock(points) @ Y_UP.T
    name, a, b = "right_index2-index3", 21 + 6, 21 + 7
    seen = np.isfinite(truth[:, [a, b]]).all((-1, -2))
    x, y, z, w = tracks[name, "rotation"].T
    up = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    half = up * tracks[name, "scale"][:, 1:2]
    for sign, n in ((-1, a), (1, b)):
        end = tracks[name, "translation"] + sign * half
        np.testing.assert_allclose(end[seen], truth[seen, n], atol=FLOAT32)
    assert (tracks[name, "scale"][~seen] == 0).all()


def test_usd_says_its_units_axes_and_rate(tmp_path: Path) -> None:
    run, points, _ = write_take(tmp_path)
    text = export(run, tmp_path / "take.usda", "usd", "--unit", "cm").read_text()
    assert text.startswith("#usda 1.0\n")
    for line in ('upAxis = "Y"', "metersPerUnit = 0.01", "timeCodesPerSecond = 25"):
        assert f"    {line}\n" in text
    wrist = 100 * (points.xyz_world[0, 1, 0] @ Y_UP.T)
    assert "0: [({:.7g}, {:.7g}, {:.7g})".format(*wrist) in text
    assert "nan" not in text.lower().replace("finance", "")


def test_usd_by_its_own_library(tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="needs usd-core (29 MB, in no extra of ours)")
    geom = pytest.importorskip("pxr.UsdGeom")
    run, points, _ = write_take(tmp_path)
    stage = usd.Stage.Open(str(export(run, tmp_path / "take.usda", "usd")))
    assert geom.GetStageUpAxis(stage) == "Y"
    assert geom.GetStageMetersPerUnit(stage) == 1
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (FPS, 5)
    truth = on_clock(points) @ Y_UP.T
    for h, hand in enumerate(("left", "right")):
        dots = geom.Points.Get(stage, f"/take/{hand}_points")
        lines = geom.BasisCurves.Get(stage, f"/take/{hand}_bones")
        for tick in range(6):
            xyz = truth[tick, 21 * h : 21 * h + 21]
            seen = np.isfinite(xyz).all(-1)
            found = np.array(dots.GetPointsAttr().Get(tick))
            np.testing.assert_allclose(found[seen], xyz[seen], atol=FLOAT32)
            assert ((np.array(dots.GetWidthsAttr().Get(tick)) > 0) == seen).all()
            assert len(lines.GetPointsAttr().Get(tick)) == 40
            ends = np.array(points.skeleton.edges)
            widths = np.array(lines.GetWidthsAttr().Get(tick))
            assert ((widths > 0) == seen[ends].all(-1)).all()
    ok, why = geom.BasisCurves.Get(stage, "/take/left_bones"), ""
    assert ok.GetCurveCount(usd.TimeCode(0)) == 20, why


def test_up_is_guessed_only_aloud(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, points, rig = write_take(tmp_path, up=False)
    text = export(run, tmp_path / "take.usda", "usd").read_text()
    assert "up guessed from the cameras" in capsys.readouterr().out
    # cameras stand upright in this world but for a few degrees of roll: up is nearly its z
    from multiview.geometry.axes import up_axes

    wrist = points.xyz_world[0, 1, 0] @ up_axes(rig).T @ Y_UP.T
    assert "0: [({:.7g}, {:.7g}, {:.7g})".format(*wrist) in text
    export(run, tmp_path / "b.usda", "usd", "--axes", "world")
    assert "up guessed" not in capsys.readouterr().out


def test_detections_that_were_moved_still_tell_the_times(tmp_path: Path) -> None:
    run, _, _ = write_take(tmp_path)
    moved = (tmp_path / "detect").rename(tmp_path / "elsewhere")
    out = tmp_path / "a.trc"
    assert main(["export", str(run), "--out", str(out), "--format", "trc"]) == 2
    export(run, out, "trc", "--detections", str(moved))
    assert out.read_text().splitlines()[2].startswith("25\t25\t6\t42\tmm")


@pytest.mark.parametrize("format", ["trc", "usd"])
def test_a_take_without_times_needs_a_rate(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run, _, _ = write_take(tmp_path, timed=False)
    out = tmp_path / ("a.trc" if format == "trc" else "a.usda")
    command = ["export", str(run), "--out", str(out), "--format", format]
    assert main(command) == 2
    assert "--fps" in capsys.readouterr().err
    assert main([*command, "--fps", "50"]) == 0
    assert "50" in out.read_text()
