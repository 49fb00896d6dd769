"""`multiview triangulate` says what it put right, and leaves it when told to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import write_rig
from multiview.stages.triangulate import run_triangulate
from multiview.synth import join_candidates, make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig


@pytest.fixture
def confused(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 6)
    seen = observe(rng, rig, make_hand_motion(rng, 60), finger_swaps=0.1)
    return (
        write_detections(seen.detections, tmp_path / "detections.parquet"),
        write_rig(rig, tmp_path / "rig.yaml"),
    )


def test_the_report_names_cameras_and_fingers(
    confused: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_triangulate(*confused, tmp_path / "on", TriangulationConfig(unit="keypoint"))
    said = capsys.readouterr().out
    assert "index-middle" in said
    assert "--ransac.no-repair" in said
    figures = json.loads((out / "manifest.json").read_text())["figures"]
    moved = figures["repaired_fingers"]
    assert len(moved) == 6
    assert sum(moved) == 2 * sum(sum(n) for n in figures["repairs"].values()) > 20
    report = (out / "report.md").read_text()
    first = next(line for line in report.splitlines() if line.startswith("| cam00 "))
    assert first.rstrip(" |").endswith(f"| {moved[0]}")


def test_without_repair_nothing_is_put_right(
    confused: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on = run_triangulate(*confused, tmp_path / "on", TriangulationConfig(unit="keypoint"))
    capsys.readouterr()
    config = TriangulationConfig(unit="keypoint", repair=False)
    off = run_triangulate(*confused, tmp_path / "off", config)
    assert "put right" not in capsys.readouterr().out
    assert (
        "| put right where one view alone was confused | nothing |"
        in (off / "report.md").read_text()
    )
    inliers = [read_points(p / "points.parquet").inlier.mean() for p in (on, off)]
    assert inliers[0] > inliers[1] + 0.01


def test_two_people_make_four_hands(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rig = make_rig(rng, 5, view_m=1.1)
    seen = [
        observe(rng, rig, make_hand_motion(rng, 8, 2, centre_world=(0.0, y, 0.0)), ordered=False)
        for y in (-0.2, 0.2)
    ]
    table = write_detections(join_candidates(rng, seen).detections, tmp_path / "d.parquet")
    rig_path = write_rig(rig, tmp_path / "rig.yaml")
    two = run_triangulate(table, rig_path, tmp_path / "two", TriangulationConfig())
    four = run_triangulate(table, rig_path, tmp_path / "four", TriangulationConfig(max_hands=4))
    assert read_points(two / "points.parquet").hands == ("left", "right")
    assert read_points(four / "points.parquet").hands == (
        "left-1",
        "right-1",
        "left-2",
        "right-2",
    )
    left_over = [
        json.loads((p / "manifest.json").read_text())["figures"]["unassigned"] for p in (two, four)
    ]
    assert left_over[0] > left_over[1]
