"""Keypoints as a long csv: one row a point, or MediaPipe's normalised ones in the two usual shapes.

The project's own shape: columns ``camera, frame, hand, keypoint, x, y, conf`` and ``right``; pixels
with the centre of the top-left one at (0, 0), frames from 0, ``hand`` any number that tells the
hands of one picture apart, ``keypoint`` a number from 0 or a name, ``right`` the probability of a
right hand. ``camera`` (one camera a file), ``hand`` (one hand), ``conf`` (then 1) and ``right`` may
be absent, and so may rows of points that were not found. A row without keypoint says that the
picture was searched.

MediaPipe: the same with its words (``landmark``, ``handedness``, ...), or one row a hand with
``x0, y0, z0, ..., x20, y20, z20`` or ``wrist_x, wrist_y, ...``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.core import HAND_21, Detections
from multiview.errors import InputError
from multiview.formats.atomic import replacing
from multiview.formats.foreign import check_bytes
from multiview.formats.keypoint_names import hand_index
from multiview.formats.keypoint_table import MAX_FRAME, KeypointTable
from multiview.formats.mediapipe_json import pixels_of_normalised, right_of_label

__all__ = [
    "csv_header",
    "read_keypoints_csv",
    "read_mediapipe_csv",
    "wide_columns",
    "write_keypoints_csv",
]

Columns = dict[str, Any]  # arrays, and (codes, words) of texts
TEXTS = ("camera", "keypoint", "side")

WORDS = {
    "camera": ("camera", "cam", "view"),
    "frame": ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frame_num"),
    "hand": ("hand", "hand_id", "hand_idx", "hand_index", "person"),
    "keypoint": ("keypoint", "landmark", "landmark_id", "landmark_idx", "landmark_index", "point"),
    "x": ("x", "x_px"),
    "y": ("y", "y_px"),
    "conf": ("conf", "confidence", "likelihood"),
    "right": ("right",),
    "side": ("handedness", "side", "label"),
}
REQUIRED = ("frame", "keypoint", "x", "y")
NO_KEYPOINT = -1
MAX_KEYPOINTS = 1000  # K of a row may not decide how much memory is taken
BLANKS = ["", "nan", "NaN", "NAN", "NA", "null", "None", "none"]


def csv_header(path: Path) -> list[str]:
    """First line's cells, plain; empty if it is no text."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(1 << 20)
        return [c.strip().strip('"') for c in line.decode("utf-8-sig").strip().split(",")]
    except (OSError, ValueError):
        return []


def known_columns(header: Sequence[str]) -> dict[str, str]:
    """Which column of the file is which of ours."""
    plain = {h.casefold().replace(" ", "_"): h for h in header}
    found = {n: next((plain[w] for w in words if w in plain), "") for n, words in WORDS.items()}
    return {n: c for n, c in found.items() if c}


def wide_columns(header: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Columns of a row that holds a whole hand: ``{column: (keypoint, axis)}``; empty if none."""
    found: dict[str, tuple[int, int]] = {}
    for name in header:
        plain = name.strip().casefold()
        if match := re.fullmatch(r"([xy])_?(\d{1,2})|(?:.*\D)?(\d{1,2})[_. ]([xy])", plain):
            axis, number = match[1] or match[4], match[2] or match[3]
            found[name] = (int(number), "xy".index(axis))
        elif (match := re.fullmatch(r"(.+)[_. ]([xy])", plain)) and hand_index(
            match[1]
        ) is not None:
            found[name] = (hand_index(match[1]) or 0, "xy".index(match[2]))
    first = min((k for k, _ in found.values()), default=0)
    found = {n: (k - first, a) for n, (k, a) in found.items()}  # counted from 0 or 1
    return found if set(found.values()) == {(k, a) for k in range(21) for a in (0, 1)} else {}


def read_keypoints_csv(path: Path) -> list[KeypointTable]:
    """Read the long form; one table a camera.

    Raises
    ------
    InputError
        Naming the line of a cell that is no number, a keypoint that comes twice, an unknown
        name, or a confidence out of range.
    """
    check_bytes(path)
    known = known_columns(csv_header(path))
    known.pop("side", None)
    c = _columns(path, known)
    return _tables(path, c, np.stack([c["x"], c["y"]], -1))


def read_mediapipe_csv(path: Path, size_wh: tuple[int, int] | None = None) -> list[KeypointTable]:
    """Read MediaPipe's normalised landmarks, one row a landmark or one row a hand.

    Raises
    ------
    InputError
        As `read_keypoints_csv`; and if the picture size is unknown.
    """
    if size_wh is None:
        raise InputError(
            f"{path}: MediaPipe's coordinates are shares of a picture whose size is not stated",
            "add --size-wh WIDTH HEIGHT, or give the capture",
        )
    check_bytes(path)
    header = csv_header(path)
    wide, known = wide_columns(header), known_columns(header)
    known.pop("conf", None)  # MediaPipe has none of a keypoint
    if "hand" in known and "side" not in known and not _is_number(path, known["hand"]):
        known["side"] = known.pop("hand")
    c = _unfold(path, known, wide) if wide else _columns(path, known)
    xy = pixels_of_normalised(np.stack([c["x"], c["y"]], -1), size_wh, str(path))
    if "side" in c:
        c["right"] = _sides(path, c)
        if "hand" not in c:
            c["hand"] = np.nan_to_num(c["right"], nan=2.0)
    return _tables(path, c, xy, size_wh)


def _is_number(path: Path, column: str) -> bool:
    cells = _read(path, [column])[column].drop_null()
    return not len(cells) or re.fullmatch(r"[-+.\deE]+", cells[0].as_py()) is not None


def _sides(path: Path, c: Columns) -> F64:
    """Probability of a right hand of every row."""
    codes, words = c["side"]
    values = np.full(len(words) + 1, np.nan)  # the last: no side given
    for n, word in enumerate(words):
        try:
            values[n] = right_of_label(word, 1.0)
        except ValueError as error:
            line = int(np.argmax(codes == n)) + 2
            raise InputError(f"{path}: line {line}: {error}", "write Left or Right") from None
    return np.asarray(values[codes])


def _columns(path: Path, known: dict[str, str]) -> Columns:
    """Read the known columns: numbers, and texts for camera, keypoint and side."""
    absent = [n for n in REQUIRED if n not in known]
    if absent:
        raise InputError(
            f"{path}: no column {', '.join(absent)}",
            "columns are camera, frame, hand, keypoint, x, y, conf (see docs/formats.md)",
        )
    table = _read(path, list(known.values()))
    c: Columns = {}
    for name, column in known.items():
        c[name] = _texts(table[column]) if name in TEXTS else _numbers(path, table[column], column)
    return c


def _unfold(path: Path, known: dict[str, str], wide: dict[str, tuple[int, int]]) -> Columns:
    """Turn one row a hand into one row a landmark."""
    known = {n: c for n, c in known.items() if n not in {"x", "y", "keypoint"}}
    table = _read(path, [*known.values(), *wide])
    rows = table.num_rows
    xy = np.full((rows, 21, 2), np.nan)
    for column, (k, axis) in wide.items():
        xy[:, k, axis] = _numbers(path, table[column], column)
    c: Columns = {
        "keypoint": (np.tile(np.arange(21), rows), tuple(str(k) for k in range(21))),
        "x": xy[..., 0].ravel(),
        "y": xy[..., 1].ravel(),
        "line": np.arange(rows).repeat(21),
        "frame": np.arange(rows, dtype=np.float64).repeat(21),
    }
    for name, column in known.items():
        if name in TEXTS:
            codes, words = _texts(table[column])
            c[name] = (codes.repeat(21), words)
        else:
            c[name] = _numbers(path, table[column], column).repeat(21)
    return c


def _read(path: Path, columns: list[str]) -> pa.Table:
    options = pacsv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=columns,
        null_values=BLANKS,
        strings_can_be_null=True,
    )
    try:
        return pacsv.read_csv(path, convert_options=options)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: not a readable csv ({str(error).splitlines()[0]:.160})", "write it again"
        ) from None


def _texts(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Different words of a column in order of appearance, and each row's; -1 for a blank."""
    coded = column.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, np.int64), tuple(w.strip() for w in coded.dictionary.to_pylist())


def _numbers(path: Path, column: pa.ChunkedArray, name: str) -> F64:
    try:
        array = column.combine_chunks().cast(pa.float64())
    except pa.ArrowException:
        for row, cell in enumerate(column.to_pylist()):
            try:
                float(cell or "nan")
            except ValueError:
                raise InputError(
                    f"{path}: line {row + 2}: {name} is {cell!r}, not a number", "correct it"
                ) from None
        raise InputError(f"{path}: column {name} holds no plain numbers", "correct it") from None
    return np.asarray(array.to_numpy(zero_copy_only=False), np.float64)


def _integers(path: Path, c: Columns, name: str, at: NDArray[np.int64]) -> NDArray[np.int64]:
    values: F64 = c[name]
    bad = ~(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) <= MAX_FRAME))
    if bad.any():
        n = int(np.argmax(bad))
        raise InputError(
            f"{path}: line {at[n] + 2}: {name} is {values[n]:g}, not a whole number", "correct it"
        )
    return values.astype(np.int64)


def _keypoints(path: Path, c: Columns) -> tuple[NDArray[np.int64], tuple[str, ...], int]:
    """Find each row's keypoint (-1: none), the names if there are any, and how many there are.

    A file may lack points that were never found, so a part of the hand's names is a hand.
    """
    codes, words = c["keypoint"]
    if len(words) > MAX_KEYPOINTS:
        raise InputError(f"{path}: {len(words)} keypoint names", f"up to {MAX_KEYPOINTS} are read")
    hand = [hand_index(w) for w in words]
    names: tuple[str, ...] = words
    if all(re.fullmatch(r"-1|[0-9]+", w) for w in words):
        number, names = [int(w[:9]) for w in words], ()
        if max(number, default=0) >= MAX_KEYPOINTS:
            line = int(np.argmax(codes == int(np.argmax(number)))) + 2
            raise InputError(f"{path}: line {line}: keypoint {max(number)}", "correct it")
    elif all(k is not None for k in hand):
        number, names = [k or 0 for k in hand], HAND_21.keypoints
    else:
        number = list(range(len(words)))
    count = len(names) or max([*(n + 1 for n in number), len(HAND_21.keypoints)])
    return np.array([*number, NO_KEYPOINT], np.int64)[codes], names, count


def _tables(
    path: Path, c: Columns, xy: F64, size_wh: tuple[int, int] | None = None
) -> list[KeypointTable]:
    """Gather rows into hands, camera by camera."""
    rows = len(xy)
    if not rows:
        raise InputError(f"{path}: has no rows", "write it again")
    at = c.get("line", np.arange(rows))
    keypoint, names, count = _keypoints(path, c)
    columns = {
        "frame": _integers(path, c, "frame", at),
        "hand": _integers(path, c, "hand", at) if "hand" in c else np.zeros(rows, np.int64),
        "keypoint": keypoint,
        "conf": c.get("conf", np.ones(rows)),
        "right": c.get("right", np.full(rows, np.nan)),
        "xy": xy,
        "line": at,
    }
    codes, cameras = c.get("camera", (np.zeros(rows, np.int64), ("",)))
    if (codes < 0).any():
        raise InputError(f"{path}: line {at[np.argmax(codes < 0)] + 2}: names no camera", "name it")
    return [
        _table(path, camera, {n: a[codes == v] for n, a in columns.items()}, names, count, size_wh)
        for v, camera in enumerate(cameras)
    ]


def _table(
    path: Path,
    camera: str,
    c: Columns,
    names: tuple[str, ...],
    count: int,
    size_wh: tuple[int, int] | None,
) -> KeypointTable:
    searched = np.unique(c["frame"])
    c = {n: a[c["keypoint"] != NO_KEYPOINT] for n, a in c.items()}
    keys = np.stack([c["frame"], c["hand"]], -1)
    hands, first, row = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    row = row.reshape(-1)
    flat = row * count + c["keypoint"]
    values, times = np.unique(flat, return_counts=True)
    if (times > 1).any():
        again = np.flatnonzero(flat == values[np.argmax(times > 1)])[1]
        raise InputError(
            f"{path}: line {c['line'][again] + 2}: keypoint {c['keypoint'][again]} of frame "
            f"{c['frame'][again]}, hand {c['hand'][again]} was given before",
            "keep one of the two, or number the hands",
        )
    xy = np.full((len(hands) * count, 2), np.nan)
    conf = np.zeros(len(hands) * count)
    xy[flat], conf[flat] = c["xy"], c["conf"]
    return KeypointTable(
        path=path,
        camera=camera,
        frame=hands[:, 0],
        slot=hands[:, 1],
        xy_px=xy.reshape(-1, count, 2),
        conf=conf.reshape(-1, count),
        right=_probabilities(path, c["right"][first], c["line"][first]),
        where=tuple(f"line {n + 2}" for n in c["line"][first].tolist()),
        searched=searched,
        names=names,
        size_wh=size_wh,
    )


def _probabilities(path: Path, right: F64, line: NDArray[np.int64]) -> F64:
    bad = (right < 0) | (right > 1)
    if bad.any():
        n = int(np.argmax(bad))
        raise InputError(
            f"{path}: line {line[n] + 2}: right is {right[n]:g}", "a probability is from 0 to 1"
        )
    return right


def write_keypoints_csv(dets: Detections, path: Path) -> Path:
    """Write detections in the long form; pictures without a hand have a row without keypoint."""
    valid = dets.valid
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("camera,frame,hand,keypoint,x,y,conf,right\n")
        for v, camera in enumerate(dets.camera_names):
            for f, frame in enumerate(dets.frame_ids.tolist()):
                hands = np.flatnonzero(valid[v, f].any(-1))
                if not hands.size:
                    stream.write(f"{camera},{frame},0,,,,,\n")
                for h in hands.tolist():
                    right = dets.right[v, f, h]
                    end = "" if np.isnan(right) else f"{right:.6g}"
                    for k in np.flatnonzero(valid[v, f, h]).tolist():
                        x, y = dets.xy_px[v, f, h, k].tolist()
                        name, conf = dets.skeleton.keypoints[k], dets.conf[v, f, h, k]
                        stream.write(
                            f"{camera},{frame},{h},{name},{x:.6f},{y:.6f},{conf:.6g},{end}\n"
                        )
    return path
