"""`multiview smooth`: a step of its own that says what it did."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.append(str(Path(__file__).parent / "smoothing"))
from smoothing_scenes import calm_hand, make_scene

from multiview.cli import main
from multiview.core import HAND_21, KeypointBias
from multiview.formats.bias_yaml import write_bias
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig

FRAMES = 30


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Detections, rig and triangulation of a small take."""
    root = tmp_path_factory.mktemp("smooth")
    scene = make_scene(calm_hand(FRAMES), 4)
    write_rig(scene.rig, root / "rig.yaml")
    write_detections(scene.dets, root / "detections.parquet")
    given = ["--rig", str(root / "rig.yaml"), "--out", str(root / "tri")]
    unit = ["--ransac.unit", "keypoint"]
    assert main(["triangulate", str(root / "detections.parquet"), *given, *unit]) == 0
    assert main(["smooth", str(root / "tri"), "--out", str(root / "smooth")]) == 0
    return root


def test_the_output_says_that_points_are_smoothed(chain: Path) -> None:
    points = read_points(chain / "smooth" / "points.parquet")
    assert points.smoothing.startswith("over time")
    assert not points.filled.any()
    raw = read_points(chain / "tri" / "points.parquet")
    assert not raw.smoothing
    assert np.nanmax(np.abs(raw.xyz_world - points.xyz_world)) > 0
    manifest = json.loads((chain / "smooth" / "manifest.json").read_text())
    assert manifest["stage"] == "smooth"
    assert manifest["figures"]["smoothing"] == points.smoothing
    text = (chain / "smooth" / "report.md").read_text()
    for words in ("**smoothed**", "lag, all frames", "bone lengths vary", "not smoothed away"):
        assert words in text
    table = pq.read_schema(chain / "smooth" / "points.parquet")
    assert b'"smoothing": "over time' in table.metadata[b"multiview"]


def test_it_is_not_done_twice_and_never_silently(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["smooth", str(chain / "tri"), "--out", str(chain / "smooth")]
    assert main(given) == 0
    assert "up to date" in capsys.readouterr().out
    assert main([*given, "--smooth.fill-s", "0.2"]) == 2
    assert "fill_s was 0.0, now 0.2" in capsys.readouterr().err
    again = ["smooth", str(chain / "smooth"), "--out", str(chain / "twice")]
    detections = ["--detections", str(chain / "detections.parquet")]
    assert main([*again, *detections]) == 2
    assert "smoothed already" in capsys.readouterr().err
    assert not (chain / "twice").exists()
    assert not (chain / "twice.partial").exists()


def test_missing_detections_are_asked_for(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of a version that did not note them."""
    old = Path(shutil.copytree(chain / "tri", tmp_path / "tri"))
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["figures"]["detections"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert main(["smooth", str(old), "--out", str(tmp_path / "other")]) == 2
    assert "--detections" in capsys.readouterr().err


def test_smoothed_points_know_their_times(chain: Path, tmp_path: Path) -> None:
    """So that they can be exported to formats with a frame rate, as the measured ones."""
    for name in ("tri", "smooth"):
        out = tmp_path / f"{name}.trc"
        command = ["export", str(chain / name), "--out", str(out), "--format", "trc"]
        assert main([*command, "--axes", "world"]) == 0
    heads = [(tmp_path / f"{n}.trc").read_text().splitlines()[2] for n in ("tri", "smooth")]
    assert heads[0] == heads[1]
    assert f"\t{FRAMES}\t" in heads[0]


def test_files_from_before_smoothing_are_read(chain: Path, tmp_path: Path) -> None:
    table = pq.read_table(chain / "tri" / "points.parquet")
    meta = json.loads(table.schema.metadata[b"multiview"])
    del meta["smoothing"]
    old = table.drop_columns("filled").replace_schema_metadata(
        {b"multiview": json.dumps(meta).encode()}
    )
    pq.write_table(old, tmp_path / "old.parquet")
    points = read_points(tmp_path / "old.parquet")
    assert (points.smoothing, points.filled.any()) == ("", False)
    assert points.filled.shape == points.voted.shape
    assert replace(points, smoothing="x").smoothing == "x"


def test_a_correction_is_not_undone_silently(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths are found from the views: what was taken off the points would be back."""
    bias = KeypointBias(
        keypoints=HAND_21.keypoints,
        offset=np.full((21, 3), 0.05),
        sigma=np.full((21, 3), 0.001),
        poses=100,
    )
    write_bias(bias, tmp_path / "bias.yaml")
    given = ["--rig", str(chain / "rig.yaml"), "--bias", str(tmp_path / "bias.yaml")]
    tri = [str(chain / "detections.parquet"), "--out", str(tmp_path / "tri")]
    assert main(["triangulate", *tri, *given]) == 0
    assert main(["smooth", str(tmp_path / "tri"), "--out", str(tmp_path / "smooth")]) == 2
    assert "was corrected by --bias" in capsys.readouterr().err
    assert not (tmp_path / "smooth").exists()
