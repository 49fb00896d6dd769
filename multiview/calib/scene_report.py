"""A calibration from the scene as text and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from multiview.calib.scene_result import SceneResult

__all__ = ["scene_data", "scene_markdown"]


def scene_data(result: SceneResult) -> dict[str, Any]:
    """Figures as plain numbers and texts (NaN stays NaN), and the covariance as lists."""
    return {
        "about": result.rig.about,
        "unit": result.rig.unit,
        "rig_digest": result.rig.digest,
        "rms_px": result.rms_px,
        "scale_std": None if np.isnan(result.scale_std) else result.scale_std,
        "errors_of_a_frame_alike": result.alike,
        "cameras": [asdict(c) for c in result.cameras],
        "moved": [asdict(m) for m in result.moved],
        "contradicting": [list(c) for c in result.contradicting],
        "warnings": list(result.warnings),
        "covariance": {
            "order": "rotation (left perturbation, camera frame, rad), translation (rig unit)",
            "values": result.covariance.tolist(),
        },
    }


def scene_markdown(result: SceneResult) -> str:
    """Figures as Markdown: a summary, a row for each camera, what moved, and warnings."""
    factor, unit = _length_unit(result.rig.unit)
    used = int(result.inlier.sum())
    lines = [
        "# Calibration from the scene",
        "",
        f"{result.rig.about}.",
        "",
        "| measure | value |",
        "| --- | ---: |",
        f"| error of the observations used (rms) | {result.rms_px:.3f} px |",
        f"| observations used | {used} |",
        f"| points | {int(np.isfinite(result.xyz_world[..., 0]).sum())} |",
        f"| variance of whole frames' errors against independent ones | {result.alike:.2f} |",
        f"| scale known to | {_scale_text(result.scale_std)} |",
        "",
        f"| camera | seen | dropped | rms px | noise px | turn +- deg | place +- {unit} | x y z |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *(_row(result, v, factor) for v in range(len(result.cameras))),
    ]
    if result.moved:
        lines += [
            "",
            "## Moved since",
            "",
            f"| camera | degrees | +- | {unit} | +- | by chance |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        lines += [
            f"| {m.name} | {np.rad2deg(m.rotation):.4f} | {np.rad2deg(m.rotation_std):.4f} "
            f"| {factor * m.position:.3f} | {factor * m.position_std:.3f} | {m.chance:.2g} |"
            for m in result.moved
        ]
    if result.warnings:
        lines += ["", "## Look at", "", *(f"- {w}" for w in result.warnings)]
    return "\n".join(lines) + "\n"


def _length_unit(unit: str) -> tuple[float, str]:
    return (1000.0, "mm") if unit == "m" else (1.0, unit)


def _scale_text(std: float) -> str:
    return "nothing: unknown" if np.isnan(std) else f"{std:.2%}" if std else "as given"


def _row(result: SceneResult, view: int, factor: float) -> str:
    c, camera = result.cameras[view], result.rig.cameras[view]
    place = " ".join(f"{x:.4f}" for x in camera.centre_world)
    turn = np.rad2deg(c.rotation_std)
    return (
        f"| {c.name} | {c.points} | {c.rejected} | {c.rms_px:.3f} | {c.noise_px:.3f} "
        f"| {turn:.4f} | {factor * c.position_std:.3f} | {place} |"
    )
