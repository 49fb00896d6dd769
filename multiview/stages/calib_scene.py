"""`multiview calib scene`: a rig from the detections of a take, without a board."""

from __future__ import annotations

import json
from pathlib import Path

from multiview.calib.scene import calibrate_scene
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_refine import refine_rig
from multiview.calib.scene_report import scene_data, scene_markdown
from multiview.calib.scene_result import SceneResult
from multiview.calib.scene_scale import Scale, parse_scale
from multiview.core import Detections, Rig
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.detections_parquet import read_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import say
from multiview.stage import Stage, file_digest

__all__ = ["run_calib_scene"]


def run_calib_scene(
    detections: Path,
    lenses: Path,
    out: Path,
    config: SceneConfig,
    *,
    scale: str | None = None,
    refine: bool = False,
    force: bool = False,
) -> Path:
    """Calibrate and write ``rig.yaml``, ``report.md`` and ``report.json`` into ``out``.

    Parameters
    ----------
    detections
        Folder of `multiview detect`, or a detections table.
    lenses
        Rig YAML with the intrinsics of all cameras; with ``refine`` also the poses to start from.
    out
        Output folder.
    config
        How the scene is used.
    scale
        ``bone:A-B=metres``, ``wand:A-B=metres``, ``baseline:CAM-CAM=metres`` or ``rig:RIG.yaml``.
    refine
        Adjust the rig instead of finding it, and say which cameras moved.
    force
        Replace an older, different result.
    """
    if refine and scale:
        raise InputError(
            "--refine keeps the scale and world of the rig, so --scale has no place",
            "leave one of them out",
        )
    table = detections / "detections.parquet" if detections.is_dir() else detections
    dets, rig = read_detections(table), read_rig(lenses)
    given = _scale(scale, dets)
    inputs = {"detections": file_digest(table), "intrinsics": rig.digest}
    if isinstance(given, Rig):
        inputs["scale"] = given.digest
    settings = config.model_dump() | {"scale": scale, "refine": refine}
    stage = Stage("calib scene", settings, inputs, out, force)
    if stage.done:
        say(f"calib scene: {out} is up to date")
        return out
    with stage.cleared():
        if refine:
            result = refine_rig(rig, dets, config=config)
        else:
            result = calibrate_scene(dets, rig, scale=given, config=config)
    write_rig(result.rig, stage.work / "rig.yaml")
    write_text(stage.work / "report.md", scene_markdown(result))
    write_text(stage.work / "report.json", json.dumps(scene_data(result), indent=1) + "\n")
    stage.finish({"rms_px": result.rms_px, "alike": result.alike, "unit": result.rig.unit})
    _tell(result, out)
    return out


def _scale(text: str | None, dets: Detections) -> Scale | None:
    if text is None:
        return None
    if text.startswith("rig:"):
        return read_rig(Path(text.removeprefix("rig:")))
    return parse_scale(text, dets.skeleton.keypoints, dets.camera_names)


def _tell(result: SceneResult, out: Path) -> None:
    say(
        f"calib scene: {len(result.rig.cameras)} cameras from {int(result.inlier.sum())} "
        f"observations, rms {result.rms_px:.2f} px, unit {result.rig.unit} -> {out / 'rig.yaml'}"
    )
    for warning in result.warnings:
        say(f"  look at: {warning}")
