"""A person's verdicts on 3D keypoints: CSV with ``frame``, ``hand``, ``keypoint``, ``wrong``.

``hand`` is the slot's name, ``keypoint`` a name or number, ``wrong`` 1 or 0. One row a keypoint
that was looked at; other columns are ignored.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from multiview._shapes import BoolArray, IntArray
from multiview.core import Points3D
from multiview.errors import InputError

__all__ = ["read_verdicts"]

COLUMNS = ("frame", "hand", "keypoint", "wrong")


def read_verdicts(path: str | Path, points: Points3D) -> tuple[IntArray, BoolArray]:
    """Read verdicts on the keypoints of a take.

    Parameters
    ----------
    path
        The CSV file.
    points
        The take.

    Returns
    -------
    index, wrong
        Frame row, hand and keypoint, shape (N, 3); and which are wrong, shape (N,).

    Raises
    ------
    InputError
        If the file is missing, lacks a column, or a line names no keypoint of the take.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "give a CSV file") from None
    reader = csv.DictReader(text.splitlines())
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}", f"columns are {', '.join(COLUMNS)}"
        )
    rows = [_row(path, n, row, points) for n, row in enumerate(reader, start=2)]
    table = np.array(rows, np.int64).reshape(-1, 4)
    return table[:, :3], table[:, 3] == 1


def _row(
    path: str | Path, line: int, row: dict[str, str], points: Points3D
) -> tuple[int, int, int, int]:
    names = points.hands or tuple(map(str, range(points.valid.shape[1])))
    keypoints = points.skeleton.keypoints
    try:
        frame = int(np.flatnonzero(points.frame_ids == int(row["frame"]))[0])
        hand, word = names.index(row["hand"].strip()), row["keypoint"].strip()
        keypoint = keypoints.index(word) if word in keypoints else int(word)
        wrong = ("0", "1").index(row["wrong"].strip())
        if not 0 <= keypoint < len(keypoints):
            raise ValueError(word)
    except (ValueError, IndexError, AttributeError, TypeError):
        raise InputError(
            f"{path}, line {line}: no keypoint of this take, or no verdict: {dict(row)}",
            f"frames as in the take, hands {', '.join(names)}, keypoint by name or number, "
            "wrong 0 or 1",
        ) from None
    return frame, hand, keypoint, wrong
