"""Parquet tables with provenance in the schema: what every table of the project shares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from multiview.core import HAND_21, Skeleton
from multiview.errors import InputError
from multiview.formats.atomic import replacing

__all__ = [
    "check_kind",
    "columns_of",
    "meta_of",
    "opening",
    "read_table",
    "reading",
    "skeleton_from_dict",
    "skeleton_to_dict",
    "table_kind",
    "write_table",
]

META = b"multiview"


def write_table(path: Path, columns: dict[str, Any], meta: dict[str, Any]) -> Path:
    """Write columns as Parquet (zstd; floats byte-stream-split, without dictionary)."""
    table = pa.table(columns).replace_schema_metadata({META: json.dumps(meta).encode()})
    floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    others = [f.name for f in table.schema if f.name not in floats]
    with replacing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=others,
            column_encoding=None,
            use_byte_stream_split=floats,
        )
    return path


def read_table(path: Path, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read columns and provenance.

    Raises
    ------
    InputError
        If the file is missing, not Parquet, or holds another kind of table.
    """
    with opening(path):
        table = pq.read_table(path, memory_map=False)
        meta = meta_of(table.schema)
    check_kind(path, meta, kind)
    return columns_of(table), meta


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Name the file that is missing or not Parquet.

    Raises
    ------
    InputError
        For what opening a table in the body raises.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "run the stage that writes it") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})",
            "run the stage that writes it again",
        ) from None


def meta_of(schema: pa.Schema) -> dict[str, Any]:
    """Read the provenance in a schema; empty for tables of other programs."""
    return dict(json.loads((schema.metadata or {}).get(META, b"{}")))


def check_kind(path: Path, meta: dict[str, Any], kind: str) -> None:
    """Refuse a table of another kind.

    Raises
    ------
    InputError
        Naming both kinds.
    """
    if meta.get("kind") != kind:
        raise InputError(
            f"{path}: holds {meta.get('kind', 'a table of another program')}, expected {kind}",
            "check which file goes where",
        )


def columns_of(table: pa.Table) -> dict[str, NDArray[Any]]:
    """Columns of a table as arrays."""
    return {n: _numpy(table[n]) for n in table.column_names}


def table_kind(path: Path) -> str:
    """Say what a Parquet file holds; empty if it is none of the project's."""
    try:
        meta = pq.read_schema(path).metadata or {}
        return str(json.loads(meta.get(META, b"{}")).get("kind", ""))
    except (OSError, ValueError, pa.ArrowException):
        return ""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn missing or ill-fitting columns and keys into a message that names the file.

    Raises
    ------
    InputError
        For any lookup or shape error of the body.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: damaged, or written by another version of multiview ({error!r})",
            "run the stage that writes it again",
        ) from None


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(-1, size)
    return np.asarray(array.to_numpy(zero_copy_only=False))


def skeleton_to_dict(skeleton: Skeleton) -> dict[str, Any]:
    """Plain data of a skeleton."""
    return {
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "edges": [list(e) for e in skeleton.edges],
        "groups": {n: list(g) for n, g in skeleton.groups.items()},
        "colors": [list(c) for c in skeleton.colors],
    }


def skeleton_from_dict(data: dict[str, Any]) -> Skeleton:
    """Build a skeleton from plain data; the hand is returned as the one constant.

    Colours are not compared: older versions wrote others.
    """
    if {**data, "colors": None} == {**skeleton_to_dict(HAND_21), "colors": None}:
        return HAND_21
    return Skeleton(
        name=data["name"],
        keypoints=tuple(data["keypoints"]),
        edges=tuple((int(a), int(b)) for a, b in data["edges"]),
        groups={n: tuple(g) for n, g in data["groups"].items()},
        colors=tuple((int(r), int(g), int(b)) for r, g, b in data["colors"]),
    )
