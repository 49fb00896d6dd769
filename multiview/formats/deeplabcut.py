"""DeepLabCut: ``<video>DLC_<scorer>.csv`` or ``.h5``, and hand-labelled ``CollectedData``.

A table of one row a frame under a header of ``scorer, bodyparts, coords`` (with ``individuals``
between for several animals); coordinates ``x, y, likelihood``, hand-labelled ones ``x, y`` (then
confidence 1). Rows count video frames from 0 or name a picture. Labels are placed on pictures
drawn with the centre of the top-left pixel at (0, 0), and predictions follow the labels.

The h5 is a pandas table whose column names are a pickle. Unpickling runs whatever a file says, so
the pickle is never loaded: its instructions are listed (`pickletools.genops`, which runs none) and
names are taken if they build lists and tuples of texts and nothing else.
"""

from __future__ import annotations

import csv
import pickletools
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, present
from multiview.errors import InputError
from multiview.formats.foreign import check_bytes, hdf5, hdf5_array, parsing
from multiview.formats.keypoint_table import KeypointTable, check_frames, frames_of_pictures

__all__ = ["read_deeplabcut", "texts_of_pickle"]

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
# DeepLabCut's name for parts that belong to no animal (corners of the box).
NO_ANIMAL = "single"
CONVERT = (
    "give the csv (DeepLabCut writes it with save_as_csv=True, or afterwards by "
    "deeplabcut.analyze_videos_converth5_to_csv)"
)
MAX_PICKLE_STEPS = 1_000_000
Rows = list[int] | list[str]


def read_deeplabcut(path: Path) -> list[KeypointTable]:
    """Read one file, which is one camera; individuals are the slots.

    Raises
    ------
    InputError
        If the header is not DeepLabCut's, a cell is no number, a frame comes twice, individuals
        have unlike bodyparts, or an h5 cannot be read without unpickling.
    """
    read = _read_csv if path.suffix.lower() == ".csv" else _read_h5
    with parsing(path, "DeepLabCut"):
        try:
            columns, rows, values = read(path)
        except csv.Error as error:
            raise ValueError(str(error)) from None
        return [_table(path, columns, rows, values)]


def _read_csv(path: Path) -> tuple[list[tuple[str, ...]], Rows, F64]:
    """Columns as (individual, bodypart, coordinate), rows and values (F, columns)."""
    check_bytes(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        head = {line[0]: line for line in islice(reader, 4) if line and line[0] in LEVELS}
        if not {"scorer", "bodyparts", "coords"} <= set(head):
            raise KeyError("header lines scorer, bodyparts, coords")
        # labelled pictures may be named by three columns: folder, video, file
        first = next(i for i, cell in enumerate(head["coords"]) if cell in {"x", "y"})
        people = head.get("individuals", [""] * len(head["coords"]))
        columns: list[tuple[str, ...]] = []
        columns += list(zip(people, head["bodyparts"], head["coords"], strict=True))[first:]
        stream.seek(0)
        body = [line for line in csv.reader(stream) if line and line[0] not in LEVELS]
    values = np.full((len(body), len(columns)), np.nan)
    for n, line in enumerate(body):
        cells = line[first:]
        if len(cells) != len(columns):
            raise InputError(
                f"{path}: line {n + 1 + len(head)}: {len(cells)} values for {len(columns)} columns",
                "the file is cut short or was edited: write it again",
            )
        try:
            values[n] = [float(c) if c else np.nan for c in cells]
        except ValueError as error:
            raise InputError(f"{path}: line {n + 1 + len(head)}: {error}", "correct it") from None
    names = [line[first - 1] for line in body]
    rows: Rows = [int(float(n)) for n in names] if all(map(_number, names)) else names
    return columns, rows, values


def _number(text: str) -> bool:
    return text.removesuffix(".0").isdecimal()


def _read_h5(path: Path) -> tuple[list[tuple[str, ...]], Rows, F64]:
    with hdf5(path) as file:
        group = file[next((n for n in ("df_with_missing", "keypoints") if n in file), "none")]
        if "block0_values" in group:  # pandas' "fixed" layout keeps names as plain arrays
            names, rows = _axis(group, "block0_items"), _plain_rows(group)
            values = hdf5_array(group, "block0_values")
        else:
            table = hdf5_array(group, "table")
            kinds = [n for n in table.dtype.names if n.startswith("values_block_")]
            if len(kinds) != 1:
                raise InputError(f"{path}: mixed columns", CONVERT)
            names = texts_of_pickle(path, bytes(group["table"].attrs[f"{kinds[0]}_kind"]))
            rows, values = _texts(table["index"]), table[kinds[0]]
    if any(len(n) not in (3, 4) for n in names) or len(names) != values.shape[1]:
        raise InputError(f"{path}: its columns are not DeepLabCut's", CONVERT)
    return [(n[1] if len(n) == 4 else "", *n[-2:]) for n in names], rows, _floats(values)


def _floats(values: Any) -> F64:
    return np.asarray(values, np.float64)


def _texts(array: NDArray[Any]) -> Rows:
    if array.dtype.kind in "iuf":
        return [int(i) for i in array.tolist()]
    return [i.decode() if isinstance(i, bytes) else str(i) for i in array.tolist()]


def _axis(group: Any, name: str) -> list[tuple[str, ...]]:
    """Column names of a "fixed" table: levels, and which of them each column has."""
    count = int(group.attrs[f"{name}_nlevels"])
    levels = [_texts(hdf5_array(group, f"{name}_level{i}")) for i in range(count)]
    codes = [hdf5_array(group, f"{name}_label{i}") for i in range(count)]
    return [
        tuple(str(level[c]) for level, c in zip(levels, row, strict=True))
        for row in zip(*codes, strict=True)
    ]


def _plain_rows(group: Any) -> Rows:
    if "axis1" in group:
        return _texts(hdf5_array(group, "axis1"))
    return ["/".join(row) for row in _axis(group, "axis1")]


def texts_of_pickle(path: Path, data: bytes) -> list[tuple[str, ...]]:
    """Find the list of tuples of texts that a pickle describes, without running it.

    Raises
    ------
    InputError
        If it holds anything else: a call, a class, a number, a reference it never made.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for step, (opcode, value, _) in enumerate(pickletools.genops(data)):
            if step > MAX_PICKLE_STEPS:
                raise ValueError("too long")
            if opcode.name == "STOP":
                break
            _step(opcode.name, value, stack, memo)
        (names,) = stack
        if not all(isinstance(n, tuple) and all(isinstance(t, str) for t in n) for n in names):
            raise ValueError("not only texts")
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: its column names cannot be read without running the file ({error!s:.60})",
            CONVERT,
        ) from None
    return list(names)


MARK = object()


def _step(name: str, value: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Do one instruction of a pickle on lists, tuples and texts; refuse all others."""
    if name in {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
        memo[len(memo) if name == "MEMOIZE" else value] = stack[-1]
    elif name in {"GET", "BINGET", "LONG_BINGET"}:
        stack.append(memo[value])
    elif name in {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE"}:
        stack.append(value)
    elif name not in {"PROTO", "FRAME"}:
        _collect(name, stack)


def _collect(name: str, stack: list[Any]) -> None:
    """Do an instruction that builds a list or a tuple."""
    if name in {"MARK", "EMPTY_LIST"}:
        stack.append(MARK if name == "MARK" else [])
    elif name in {"LIST", "TUPLE"}:
        items = _since_mark(stack)
        stack.append(items if name == "LIST" else tuple(items))
    elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
        size = int(name[-1])
        stack[-size:] = [tuple(stack[-size:])]
    elif name in {"APPEND", "APPENDS"}:
        items = _since_mark(stack) if name == "APPENDS" else [stack.pop()]
        if not isinstance(stack[-1], list):
            raise TypeError(name)
        stack[-1].extend(items)
    else:
        raise ValueError(name)


def _since_mark(stack: list[Any]) -> list[Any]:
    at = next(i for i in range(len(stack) - 1, -2, -1) if i < 0 or stack[i] is MARK)
    if at < 0:
        raise IndexError("no mark")
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _table(path: Path, columns: list[tuple[str, ...]], rows: Rows, values: F64) -> KeypointTable:
    people = [p for p in dict.fromkeys(c[0] for c in columns) if p != NO_ANIMAL] or [NO_ANIMAL]
    parts = {p: list(dict.fromkeys(b for i, b, _ in columns if i == p)) for p in people}
    names = parts[people[0]]
    unlike = next((p for p in people if set(parts[p]) != set(names)), None)
    if unlike is not None:
        raise InputError(
            f"{path}: {unlike} has other bodyparts than {people[0]}",
            "give the individuals the same bodyparts",
        )
    place = {c: n for n, c in enumerate(columns)}
    xyc = np.ones((len(values), len(people), len(names), 3))
    for i, person in enumerate(people):
        for k, part in enumerate(names):
            for axis, coordinate in enumerate(("x", "y", "likelihood")):
                if axis < 2 or (person, part, coordinate) in place:
                    xyc[:, i, k, axis] = values[:, place[person, part, coordinate]]
    frames, pictures = _frames(path, rows)
    found = present(xyc[..., :2]).any(-1)
    f, slot = np.nonzero(found)
    number = np.array(frames, np.int64)
    return KeypointTable(
        path=path,
        frame=number[f],
        slot=slot.astype(np.int64),
        xy_px=xyc[f, slot, :, :2],
        conf=xyc[f, slot, :, 2],
        right=np.full(len(f), np.nan),
        where=tuple(
            f"row {rows[n]!r}" + (f", {people[s]}" if people[s] else "")
            for n, s in zip(f.tolist(), slot.tolist(), strict=True)
        ),
        searched=number,
        pictures=pictures,
        names=tuple(names),
        slots=tuple(people) if any(people) else (),
    )


def _frames(path: Path, rows: Rows) -> tuple[list[int], tuple[str, ...]]:
    """Frame numbers of the rows, and picture stems where they name pictures."""
    if all(isinstance(r, int) for r in rows):
        frames = [int(r) for r in rows]
        check_frames(path, frames)
        return frames, ()
    # a labelling machine may have been Windows
    stems = [PurePosixPath(PureWindowsPath(str(r)).as_posix()).stem for r in rows]
    return frames_of_pictures(stems), tuple(stems)
