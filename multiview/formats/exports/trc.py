"""TRC of Motion Analysis, as OpenSim reads it: tab-separated text of markers.

A missing coordinate is ``NaN``: OpenSim reads it as a blank one, and readers that split at any
white space do not shift the columns after it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiview.formats.atomic import replacing
from multiview.formats.exports.motion import Motion

__all__ = ["write_trc"]

# Digits after the point: a thousandth of a millimetre or better in every unit.
DIGITS = {"mm": 4, "cm": 5, "m": 7}
HEADER = (
    "DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate",
    "OrigDataStartFrame", "OrigNumFrames",
)  # fmt: skip


def write_trc(motion: Motion, path: Path) -> Path:
    """Write all markers; frames count from 1, times from 0."""
    frames, count = motion.xyz.shape[:2]
    rate = f"{motion.rate_hz:.6g}"
    values = [rate, rate, str(frames), str(count), motion.unit, rate, "1", str(frames)]
    axes = "\t".join(f"{axis}{n}" for n in range(1, count + 1) for axis in "XYZ")
    digits = DIGITS.get(motion.unit, 9)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(f"PathFileType\t4\t(X/Y/Z)\t{path.name}\n")
        out.write("\t".join(HEADER) + "\n" + "\t".join(values) + "\n")
        out.write("Frame#\tTime\t" + "\t\t\t".join(motion.labels) + "\t\t\n")
        out.write(f"\t\t{axes}\n\n")
        for n, row in enumerate(motion.xyz.reshape(frames, -1).tolist()):
            cells = "\t".join("NaN" if np.isnan(x) else f"{x:.{digits}f}" for x in row)
            out.write(f"{n + 1}\t{n / motion.rate_hz:.6f}\t{cells}\n")
    return path
