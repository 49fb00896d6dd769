"""Tables of a take read a block of frames at a time, so that memory holds one block.

The writers order rows by frame; points have the same number of rows in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from multiview.core import Detections, Points3D
from multiview.errors import InputError
from multiview.formats import detections_parquet, points_parquet
from multiview.formats.tables import (
    check_kind,
    columns_of,
    meta_of,
    opening,
    reading,
    skeleton_from_dict,
)

__all__ = ["points_meta", "scan_detections", "scan_points"]

Columns = dict[str, NDArray[Any]]
# Rows of detections decoded at a time.
BATCH = 100_000
# Bytes of a column's compressed data read at a time.
READ = 1 << 18


def points_meta(path: Path) -> dict[str, Any]:
    """Read what a table of 3D keypoints says of itself: cameras, hands, frames, unit, skeleton.

    Raises
    ------
    InputError
        If the file is missing or something else.
    """
    meta = _open(path, points_parquet.KIND)[1]
    with reading(path):
        keys = ("cameras", "hands", "slots", "frames", "rig_digest", "unit")
        return {k: meta[k] for k in keys} | {
            "smoothing": meta.get("smoothing", ""),
            "skeleton": skeleton_from_dict(meta["skeleton"]),
        }


def scan_points(path: Path, size: int) -> Iterator[Points3D]:
    """Read 3D keypoints, ``size`` frames at a time.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    file, meta = _open(path, points_parquet.KIND)
    with reading(path):
        frames = list(meta["frames"])
        rows = int(meta["slots"]) * len(meta["skeleton"]["keypoints"])
        batches, held = _batches(path, file, size * rows), dict[str, NDArray[Any]]()
        for start in range(0, len(frames), size):
            at = frames[start : start + size]
            while _length(held) < rows * len(at):  # a batch ends where a row group does
                held = _joined(held, _more(path, batches))
            cut, held = _split(held, rows * len(at))
            yield points_parquet.points_of_columns(cut, meta | {"frames": at})


def scan_detections(path: Path, last: list[int]) -> Iterator[Detections]:
    """Read detections up to and with each of the frame numbers in ``last``.

    Raises
    ------
    InputError
        If the file is missing, damaged or something else.
    """
    file, meta = _open(path, detections_parquet.KIND)
    batches = _batches(path, file, BATCH)
    held: Columns = {}
    ended = False
    with reading(path):
        for end in last:
            while not ended and (not _length(held) or held["frame"][-1] <= end):
                new = next(batches, None)
                ended = new is None
                held = held if new is None else _joined(held, new)
            if not held:
                return
            cut, held = _split(held, int(np.searchsorted(held["frame"], end, "right")))
            yield detections_parquet.detections_of_columns(cut, meta)


def _length(columns: Columns) -> int:
    return len(columns["frame"]) if columns else 0


def _split(columns: Columns, at: int) -> tuple[Columns, Columns]:
    return {n: c[:at] for n, c in columns.items()}, {n: c[at:] for n, c in columns.items()}


def _more(path: Path, batches: Iterator[Columns]) -> Columns:
    for columns in batches:
        return columns
    raise InputError(f"{path}: ends before its last frame", "run the stage that writes it again")


def _joined(a: Columns, b: Columns) -> Columns:
    return {n: np.concatenate([a[n], b[n]]) for n in b} if a else b


def _open(path: Path, kind: str) -> tuple[pq.ParquetFile, dict[str, Any]]:
    with opening(path):
        file = pq.ParquetFile(path, buffer_size=READ, pre_buffer=False)
        meta = meta_of(file.schema_arrow)
    check_kind(path, meta, kind)
    return file, meta


def _batches(path: Path, file: pq.ParquetFile, rows: int) -> Iterator[Columns]:
    try:
        for batch in file.iter_batches(batch_size=max(rows, 1)):
            yield columns_of(pa.Table.from_batches([batch]))
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: damaged ({str(error).splitlines()[0]})", "run the stage that writes it again"
        ) from None
