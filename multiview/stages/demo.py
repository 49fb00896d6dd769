"""`multiview demo`: the main job on the capture that ships with the package."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path

from multiview.bootstrap.labels import LabelConfig
from multiview.capture import open_capture
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.progress import say
from multiview.stage import read_manifest
from multiview.stages.calibrate import run_calibrate
from multiview.stages.detect import run_detect
from multiview.stages.evaluate import Accuracy, evaluate, read_truth
from multiview.stages.label import run_label
from multiview.stages.report import run_report
from multiview.stages.triangulate import run_triangulate
from multiview.triangulation import TriangulationConfig

__all__ = ["demo_data", "run_demo"]

STAGES = ("calibrate", "detect", "triangulate", "label")


def demo_data() -> Path:
    """Folder of the embedded capture: ``board/``, ``take/``, ``board.yaml``, truth."""
    return Path(str(files("multiview") / "demo_data"))


def run_demo(out: Path, *, force: bool = False) -> Path:
    """Calibrate from the board take, then detect, triangulate, label and compare with the truth.

    Parameters
    ----------
    out
        Output folder, one folder a stage.
    force
        Replace older, different results.
    """
    data, began = demo_data(), time.monotonic()
    board = open_capture(data / "board")
    run_calibrate(board, [data / "board.yaml"], out / "calibrate", force=force)
    take = open_capture(data / "take")
    run_detect(take, out / "detect", force=force)
    rig_path = out / "calibrate" / "rig.yaml"
    config = TriangulationConfig()
    run_triangulate(out / "detect", rig_path, out / "triangulate", config, force=force)
    run_label(take, out / "detect", out / "triangulate", out / "label", LabelConfig(), force=force)
    accuracy = evaluate(
        read_points(out / "triangulate" / "points.parquet"),
        read_rig(rig_path),
        read_truth(data / "truth.npz"),
        read_rig(data / "rig_truth.yaml"),
    )
    table = _table(out, accuracy)
    report = run_report(out, STAGES, ["The demo capture (rendered: exact truth).", "", *table])
    say("")
    for line in table:
        say(line)
    say("")
    say(f"this run took {time.monotonic() - began:.1f} s; finished stages are not run again")
    say("open next:")
    for path in (report, out / "label" / "contact_sheet.png", out / "label" / "coco.json"):
        say(f"  {path}")
    return out


def _table(out: Path, a: Accuracy) -> list[str]:
    manifests = {name: read_manifest(out / name) for name in STAGES}
    calib, tri = manifests["calibrate"]["figures"], manifests["triangulate"]["figures"]
    rows = [
        ("calibration error, corners used (rms)", f"{calib['rms_px']:.3f} px"),
        ("calibration error, boards left out", f"{calib['heldout_px']:.3f} px"),
        ("reprojection error of 3D, median", f"{tri['reprojection_median_px']:.2f} px"),
        ("reprojection error of 3D, 95 %", f"{tri['reprojection_p95_px']:.2f} px"),
        ("3D error against truth, median", f"{a.median_mm:.1f} mm"),
        ("3D error against truth, 95 %", f"{a.p95_mm:.1f} mm"),
        (f"3D error of the worst keypoint ({a.worst_keypoint})", f"{a.worst_median_mm:.1f} mm"),
        ("3D error, hands aligned (PA-MPJPE)", f"{a.pa_mpjpe_mm:.1f} mm"),
        ("keypoints recovered", f"{a.recovered:.1%}"),
        ("keypoints within 10 mm, of all", f"{a.within_10mm:.1%}"),
        ("error / predicted error, median (1.54 ideal)", f"{a.normalised_error:.2f}"),
        *((f"seconds: {n}", f"{manifests[n]['seconds']:.1f}") for n in STAGES),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"| {'measure':<{width}} | {'value':>9} |", f"| {'-' * width} | {'-' * 8}: |"]
    return lines + [f"| {name:<{width}} | {value:>9} |" for name, value in rows]
