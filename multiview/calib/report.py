"""A calibration as text and as plain data; nothing is printed."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.calib.assess import Assessment
from multiview.calib.result import BoardFit, CalibrationResult

__all__ = ["figures_table", "report_data", "report_markdown"]


def report_data(result: CalibrationResult) -> dict[str, Any]:
    """Return the figures as plain numbers and strings, fit for JSON (NaN becomes None)."""
    data = {
        "about": result.rig.about,
        "boards": [_board_data(part) for part in result.boards],
        "unit": result.rig.unit,
        "rig_digest": result.rig.digest,
        "rms_px": result.rms_px,
        "heldout": asdict(result.heldout),
        "cameras": [asdict(c) | _pose_data(result, v) for v, c in enumerate(result.cameras)],
        "lenses": [asdict(e) for e in result.lenses],
        "warnings": list(result.warnings),
    }
    return dict(_plain(data))


def _board_data(part: BoardFit) -> dict[str, Any]:
    return part.board.model_dump() | {
        "frames": int(np.isfinite(part.world_from_board_t[:, 0]).sum()),
        "bend_mm": part.bend_mm.tolist(),
        "turned_views": _views(part, part.turned),
        "lost_views": _views(part, part.lost),
    }


def _views(part: BoardFit, where: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Frame numbers by camera."""
    ids, names = part.corners.frame_ids, part.corners.camera_names
    return {n: ids[where[v]].tolist() for v, n in enumerate(names) if where[v].any()}


def _pose_data(result: CalibrationResult, view: int) -> dict[str, Any]:
    camera = result.rig.cameras[view]
    lens = camera.intrinsics
    return {
        "model": lens.model,
        "focal_px": [float(lens.K[0, 0]), float(lens.K[1, 1])],
        "centre_px": [float(lens.K[0, 2]), float(lens.K[1, 2])],
        "dist": lens.dist.tolist(),
        "position_m": camera.centre_world.tolist(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _figure(value: float, digits: int = 2) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def report_markdown(result: CalibrationResult) -> str:
    """Return the figures as Markdown: a summary, a row for each camera, and warnings."""
    held = result.heldout
    lines = [
        "# Calibration",
        "",
        f"{result.rig.about}.",
        "",
        "| measure | value |",
        "| --- | ---: |",
        f"| error of the corners used (rms) | {_figure(result.rms_px, 3)} px |",
        f"| on {held.boards} boards left out, pose fitted | {_figure(held.rms_px, 3)} px |",
        f"| on boards left out, predicted from the other cameras | "
        f"{_figure(held.predicted_px, 3)} px |",
        f"| corners triangulated on boards left out (rms) | {_figure(held.triangulated_mm)} mm |",
        *(row for part in result.boards for row in _board_rows(part)),
        "",
        "| camera | views | corners | dropped | rms px | noise px | focal px | +- | filled "
        "| x y z m |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        *(_row(result, v) for v in range(len(result.cameras))),
    ]
    if result.warnings:
        lines += ["", "## Look at", "", *(f"- {w}" for w in result.warnings)]
    return "\n".join(lines) + "\n"


def _board_rows(part: BoardFit) -> list[str]:
    bend = " ".join(f"{h:+.2f}" for h in part.bend_mm)
    name = part.board.describe()
    return [
        f"| {name}: views numbered from another end | {int(part.turned.sum())} |",
        f"| {name}: views that fit nothing, dropped | {int(part.lost.sum())} |",
        f"| {name}: bow along columns, along rows, twist | {bend} mm |",
    ]


def _row(result: CalibrationResult, view: int) -> str:
    c, camera = result.cameras[view], result.rig.cameras[view]
    place = " ".join(f"{x:.3f}" for x in camera.centre_world)
    cells = [
        c.name,
        str(c.views),
        str(c.corners),
        str(c.rejected),
        _figure(c.rms_px, 3),
        _figure(c.noise_px, 3),
        f"{camera.intrinsics.K[0, 0]:.1f}",
        f"{c.focal_std:.2%}" if c.focal_std else "given",
        f"{c.fill:.0%}",
        place,
    ]
    return "| " + " | ".join(cells) + " |"


def figures_table(
    result: CalibrationResult, judged: Assessment
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and a row for each camera, as text for a terminal; the last column holds remarks."""
    header = "camera,verdict,views,corners,dropped,rms px,noise px,focal px,+-,filled,remarks"
    rows: list[tuple[str, ...]] = []
    for v, c in enumerate(result.cameras):
        focal = result.rig.cameras[v].intrinsics.K[0, 0]
        rows.append(
            (
                c.name,
                judged.camera_level(v),
                str(c.views),
                str(c.corners),
                f"{c.rejected / max(c.corners, 1):.1%}",
                _figure(c.rms_px, 3),
                _figure(c.noise_px, 3),
                f"{focal:.1f}",
                f"{c.focal_std * focal:.1f}" if c.focal_std else "given",
                f"{c.fill:.0%}",
                "; ".join(text for _, text in judged.findings[v]),
            )
        )
    return tuple(header.split(",")), rows
