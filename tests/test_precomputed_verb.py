"""`detect --detector precomputed`, `convert`: out of the project and in again, the same points."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.cli import main
from multiview.formats.detections_parquet import read_detections
from multiview.formats.keypoints_csv import write_keypoints_csv
from multiview.formats.openpose_json import write_openpose_json
from multiview.formats.points_parquet import read_points
from multiview.stages.demo import demo_data

sys.path.insert(0, str(Path(__file__).parent))
from demo_take import cut_take

SETS = 4
RIG = str(demo_data() / "rig_truth.yaml")
# The writers keep 6 digits of a pixel; a pixel is 2 mm at the take's 1.1 m, so 2e-9 m, and the
# weakest geometry of an accepted point magnifies less than a thousandfold.
SAME_M = 2e-6


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Detected and triangulated by the project itself."""
    out = tmp_path_factory.mktemp("own")
    take = str(cut_take(out / "take", SETS))
    assert main(["detect", take, "--out", str(out / "detect")]) == 0
    assert main(["triangulate", str(out / "detect"), "--rig", RIG, "--out", str(out / "tri")]) == 0
    dets = read_detections(out / "detect" / "detections.parquet")
    write_openpose_json(dets, out / "openpose")
    write_keypoints_csv(dets, out / "all.csv")
    return out


@pytest.mark.parametrize("source", ["openpose", "all.csv", "detect/detections.parquet"])
def test_the_way_out_and_back_gives_the_same_points(source, done, tmp_path):
    back, tri = tmp_path / "back", tmp_path / "tri"
    read = ["--detector", "precomputed", "--from", str(done / source)]
    assert main(["detect", str(done / "take"), *read, "--out", str(back)]) == 0
    assert main(["triangulate", str(back), "--rig", RIG, "--out", str(tri)]) == 0
    own, again = (read_points(p / "tri" / "points.parquet") for p in (done, tmp_path))
    assert own.valid.mean() > 0.4  # one hand of two slots
    np.testing.assert_array_equal(again.valid, own.valid)
    np.testing.assert_array_equal(again.inlier, own.inlier)
    np.testing.assert_allclose(again.xyz_world, own.xyz_world, atol=SAME_M, rtol=0)


def test_manifest_is_that_of_detect_and_decides_what_is_redone(done, tmp_path, capsys):
    arguments = ["detect", str(done / "take"), "--detector", "precomputed", "--out"]
    arguments += [str(tmp_path / "out"), "--from", str(done / "all.csv")]
    assert main(arguments) == 0
    ours = json.loads((done / "detect" / "manifest.json").read_text())
    theirs = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert theirs["stage"] == "detect"
    for key in ("pictures", "pictures_with_hand", "per_camera", "frame_sets", "complete_sets"):
        assert theirs["figures"][key] == ours["figures"][key]
    times = [
        read_detections(p / "detections.parquet").times for p in (done / "detect", tmp_path / "out")
    ]
    np.testing.assert_array_equal(*times)
    capsys.readouterr()
    assert main(arguments) == 0
    assert "up to date" in capsys.readouterr().out
    assert main([*arguments, "--max-hands", "1"]) == 2
    assert "max_hands was 2, now 1" in capsys.readouterr().err
    assert main([*arguments, "--max-hands", "1", "--force"]) == 0


def test_another_source_is_noticed(done, tmp_path, capsys):
    source = tmp_path / "all.csv"
    source.write_text((done / "all.csv").read_text())
    arguments = ["detect", str(done / "take"), "--detector", "precomputed", "--out"]
    arguments += [str(tmp_path / "out"), "--from", str(source)]
    assert main(arguments) == 0
    source.write_text("\n".join(source.read_text().splitlines()[:-1]) + "\n")
    assert main(arguments) == 2
    assert "source was" in capsys.readouterr().err


def test_convert_needs_no_capture(done, tmp_path):
    out = tmp_path / "dets.parquet"
    source = str(done / "openpose")
    assert main(["convert", source, "--out", str(out), "--format", "openpose"]) == 0
    own = read_detections(done / "detect" / "detections.parquet")
    dets = read_detections(out)
    assert (dets.camera_names, dets.source) == (own.camera_names, "openpose (openpose)")
    np.testing.assert_allclose(dets.xy_px, own.xy_px, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--detector", "precomputed"], "--from PATH"),
        (["--from", "x"], "--detector precomputed"),
        (["--detector", "precomputed", "--from", "no/such"], "no such file"),
    ],
)
def test_bad_options(options, message, done, tmp_path, capsys):
    arguments = ["detect", str(done / "take"), "--out", str(tmp_path / "out"), *options]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_leaves_nothing(done, tmp_path, capsys):
    source = tmp_path / "all.csv"
    source.write_text((done / "all.csv").read_text().replace("cam03", "cam33"))
    out = ["--out", str(tmp_path / "out")]
    read = ["--detector", "precomputed", "--from", str(source)]
    assert main(["detect", str(done / "take"), *read, *out]) == 2
    assert "cam33 is no camera of the capture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
