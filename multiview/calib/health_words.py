"""Findings in words: what is wrong, by how much, and what to do about it."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.health_faults import UNDECIDED, Effect, Fault
from multiview.calib.health_footage import Footage
from multiview.calib.health_gross import MixUp
from multiview.calib.health_result import Finding

__all__ = ["effect_finding", "mix_up_finding", "scale_finding"]

# Units that rigs come in, per metre.
UNITS = {"millimetres": 1000.0, "centimetres": 100.0, "inches": 1 / 0.0254, "feet": 1 / 0.3048}
# A factor is called a unit where it is that near: boards are printed and measured to better.
UNIT_SHARE = 0.05
RECALIBRATE = "use rig_corrected.yaml for now, fix the camera, and calibrate again"


def _length(vector: F64, cov: F64) -> tuple[float, float]:
    """Length of a vector and its standard deviation."""
    length = float(np.linalg.norm(vector))
    along = vector / length if length else np.zeros_like(vector)
    return length, float(np.sqrt(max(float(along @ cov @ along), 0.0)))


def describe(fault: Fault, names: tuple[str, ...]) -> str:
    """Put a fault in two words, for lists of rivals."""
    verbs = {
        "moved": "moved",
        "turned": "turned",
        "zoom": "changed its focal length",
        "offset": "is out of step",
        "drift": "has a clock that drifts",
    }
    if fault.view < 0:
        return "all distances are off by one factor"
    return f"{names[fault.view]} {verbs[fault.kind]}"


def effect_finding(
    effect: Effect, footage: Footage, interval_s: float, board: Board | None
) -> Finding:
    """Put a fitted fault into words."""
    names, fault = footage.names, effect.fault
    cameras = names if fault.view < 0 else (names[fault.view],)
    writers = {"moved": _moved, "turned": _turned, "zoom": _zoom, "scale": _scale}
    if fault.kind in writers:
        value, unit, std, text, next_step = writers[fault.kind](effect, board)
    else:
        value, unit, std, text, next_step = _clock(effect, footage, interval_s)
    return Finding(
        kind=fault.kind,
        cameras=cameras,
        value=value,
        unit=unit,
        std=std,
        text=f"{text}; what it sees is off by {effect.mm:.1f} mm",
        next_step=next_step,
        rivals=_rivals(effect, names),
    )


def _rivals(effect: Effect, names: tuple[str, ...]) -> tuple[str, ...]:
    out = []
    for fault, gain in effect.rivals:
        worse = effect.gain - gain
        sure = "cannot be told apart" if worse < UNDECIDED else f"less likely by {worse:.0f}"
        if gain > effect.gain / 2:
            out.append(f"{describe(fault, names)} ({sure})")
    return tuple(out)


Words = tuple[float, str, float, str, str]


def _moved(effect: Effect, board: Board | None) -> Words:
    del board
    deg, deg_std = _length(np.rad2deg(effect.value[:3]), np.rad2deg(1) ** 2 * effect.cov[:3, :3])
    mm, mm_std = _length(1000 * effect.value[3:], 1e6 * effect.cov[3:, 3:])
    text = f"moved by {mm:.1f} +- {mm_std:.1f} mm and turned by {deg:.2f} +- {deg_std:.2f} degrees"
    return mm, "mm", mm_std, text, RECALIBRATE


def _turned(effect: Effect, board: Board | None) -> Words:
    del board
    deg, std = _length(np.rad2deg(effect.value), np.rad2deg(1) ** 2 * effect.cov)
    return deg, "deg", std, f"turned on the spot by {deg:.2f} +- {std:.2f} degrees", RECALIBRATE


def _zoom(effect: Effect, board: Board | None) -> Words:
    del board
    percent = 100 * float(np.expm1(effect.value[0]))
    std = 100 * float(np.sqrt(effect.cov[0, 0]))
    text = f"its focal length is {percent:+.2f} +- {std:.2f} % off the rig's"
    return percent, "%", std, text, "was zoom or focus touched? calibrate its lens again"


def _scale(effect: Effect, board: Board | None) -> Words:
    # the rig's distances must change by this factor
    ratio = 1 / (1 + float(effect.value[0]))
    std = float(np.sqrt(effect.cov[0, 0])) * ratio**2
    finding = scale_finding(ratio, std, (), board)
    return finding.value, finding.unit, finding.std, finding.text, finding.next_step


def _clock(effect: Effect, footage: Footage, interval_s: float) -> Words:
    offset, std = float(effect.value[0]), float(np.sqrt(effect.cov[0, 0]))
    name, frames = footage.names[effect.fault.view], offset / interval_s
    way = "late" if offset < 0 else "early"
    if footage.timed:
        text = (
            f"its stamps are {abs(offset) * 1e3:.1f} +- {std * 1e3:.1f} ms {way} "
            f"({abs(frames):.2f} frames)"
        )
        unit, value, std = "ms", offset * 1e3, std * 1e3
        next_step = (
            f"add {offset:+.4f} to offset_s of {name} in capture.yaml (0 where it has none), and "
            "pair pictures by time"
        )
    else:
        text = f"its pictures are {abs(frames):.2f} +- {std / interval_s:.2f} frames {way}"
        unit, value, std = "frames", frames, std / interval_s
        next_step = f"shift {name} by {frames:+.2f} frame intervals: offset_s in capture.yaml"
    if effect.fault.kind == "drift":
        ppm, ppm_std = 1e6 * effect.value[1], 1e6 * np.sqrt(effect.cov[1, 1])
        text += f", and its clock drifts by {ppm:.0f} +- {ppm_std:.0f} us/s"
        next_step += "; its frame rate differs from its stamps: give a times file"
    return value, unit, std, text, next_step


def scale_finding(ratio: float, std: float, names: tuple[str, ...], board: Board | None) -> Finding:
    """Word a rig whose distances are ``ratio`` times the true ones."""
    near = 1.4 if board is None else 1 + UNIT_SHARE  # hands differ in size
    unit = next((u for u, x in UNITS.items() if abs(np.log(ratio / x)) < np.log(near)), None)
    what = "the board" if board is not None else "a hand"
    if unit is not None:
        return Finding(
            kind="unit",
            cameras=names,
            value=ratio,
            unit="x",
            std=std,
            text=f"{what} is {ratio:.4g} times too large: the rig is in {unit}, read as metres",
            next_step="write the translations in metres (rig_corrected.yaml is)",
        )
    text = f"{what} is {ratio:.4f} +- {std:.4f} times its size in the rig"
    step = "measure a known length and multiply the rig's translations"
    if board is not None:
        square = board.square_m * 1000
        text += f": either its squares are {square * ratio:.2f} mm, not {square:.2f} mm, or the rig"
        text += f" is {100 * (ratio - 1):+.2f} % too large"
        step = "measure the print with a ruler; then correct the board file or calibrate again"
    return Finding(
        kind="scale", cameras=names, value=ratio, unit="x", std=std, text=text, next_step=step
    )


def mix_up_finding(mix_up: MixUp, names: tuple[str, ...]) -> Finding:
    """Word a mix-up."""
    cameras = tuple(names[v] for v in mix_up.views)
    texts = {
        "size": (mix_up.detail, "record at the size of the calibration, or scale the lenses"),
        "swapped": (
            f"{' and '.join(cameras)} are exchanged",
            "exchange their files or names in the capture",
        ),
        "duplicate": (
            f"{mix_up.detail}; {cameras[0]} is the one that does not fit"
            if len(cameras) > 1
            else mix_up.detail,
            "copy the right file or rig entry of that camera",
        ),
        "mirrored": (
            f"its pictures are mirrored, {mix_up.detail}",
            "switch mirroring off, or flip its pictures",
        ),
        "turned pictures": (
            f"its pictures are turned {mix_up.detail}",
            "turn its pictures back (a rotation flag in the video?)",
        ),
    }
    text, next_step = texts[mix_up.kind]
    return Finding(kind=mix_up.kind, cameras=cameras, text=text, next_step=next_step)
