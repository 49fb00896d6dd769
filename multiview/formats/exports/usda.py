"""USD as text (``.usda``): for every hand its points and, as lines, its bones, over time.

``metersPerUnit``, ``upAxis`` and ``timeCodesPerSecond`` say what the numbers are. A missing point
stays where it was last and has width 0 there, and so has a bone that lacks an end: USD has no NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.formats.atomic import replacing
from multiview.formats.exports.gltf import held_points, typical_bone
from multiview.formats.exports.motion import Motion

__all__ = ["write_usda"]

METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
POINT_WIDTH, BONE_WIDTH = 0.16, 0.06  # shares of the longest bone


def write_usda(motion: Motion, path: Path) -> Path:
    """Write the take; its unit is m, cm, mm, or stated in a comment."""
    xyz, valid = held_points(motion.xyz), motion.valid
    k, size = len(motion.skeleton.keypoints), typical_bone(motion)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write(_head(motion))
        for h, hand in enumerate(motion.hands):
            block = slice(h * k, (h + 1) * k)
            out.writelines(_hand(motion, _identifier(hand), xyz[:, block], valid[:, block], size))
        out.write("}\n")
    return path


def _head(motion: Motion) -> str:
    return f"""#usda 1.0
(
    defaultPrim = "take"
    doc = "multiview: hand keypoints, unit {motion.unit}"
    metersPerUnit = {METERS.get(motion.unit, 1.0)}
    upAxis = "{(motion.up or "z").upper()}"
    timeCodesPerSecond = {motion.rate_hz:.6g}
    framesPerSecond = {motion.rate_hz:.6g}
    startTimeCode = 0
    endTimeCode = {len(motion.xyz) - 1}
)

def Xform "take"
{{
"""


def _identifier(name: str) -> str:
    """Turn a name into an identifier of USD: letters, digits, underscores."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    return f"_{plain}" if plain[0].isdigit() else plain


def _hand(motion: Motion, name: str, xyz: F64, valid: BoolArray, size: float) -> Iterator[str]:
    s = motion.skeleton
    colors = np.array(s.colors) / 255
    names = ", ".join(f'"{k}"' for k in s.keypoints)
    yield f'    def Points "{name}_points"\n    {{\n'
    yield f"        custom uniform token[] keypoints = [{names}]\n"
    yield _colors(colors, "vertex")
    yield from _samples("point3f[] points", (_tuples(p) for p in xyz))
    yield from _samples("float[] widths", (_numbers(v * size * POINT_WIDTH) for v in valid))
    yield '        uniform token widths:interpolation = "vertex"\n    }\n'
    if not s.edges:
        return
    ends = np.array(s.edges)
    shown = valid[:, ends[:, 0]] & valid[:, ends[:, 1]]
    yield f'    def BasisCurves "{name}_bones"\n    {{\n'
    yield '        uniform token type = "linear"\n'
    yield f"        int[] curveVertexCounts = [{', '.join(['2'] * len(ends))}]\n"
    yield _colors(colors[ends[:, 1]], "uniform")
    yield from _samples("point3f[] points", (_tuples(p[ends].reshape(-1, 3)) for p in xyz))
    yield from _samples("float[] widths", (_numbers(v * size * BONE_WIDTH) for v in shown))
    yield '        uniform token widths:interpolation = "uniform"\n    }\n'


def _colors(colors: F64, interpolation: str) -> str:
    return (
        f"        color3f[] primvars:displayColor = {_tuples(colors)} (\n"
        f'            interpolation = "{interpolation}"\n        )\n'
    )


def _samples(attribute: str, values: Iterable[str]) -> Iterator[str]:
    yield f"        {attribute}.timeSamples = {{\n"
    for n, value in enumerate(values):
        yield f"            {n}: {value},\n"
    yield "        }\n"


def _tuples(rows: F64) -> str:
    return "[" + ", ".join("({:.7g}, {:.7g}, {:.7g})".format(*row) for row in rows.tolist()) + "]"


def _numbers(values: F64) -> str:
    return "[" + ", ".join(f"{x:.4g}" for x in values.tolist()) + "]"
