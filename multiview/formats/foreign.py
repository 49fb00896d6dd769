"""Files of other programs: sizes first, then content; every fault names the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError

__all__ = ["MAX_BYTES", "check_bytes", "hdf5", "hdf5_array", "parsing", "read_json", "triples"]

# One camera's take as text: 100 000 frames of two hands are about 0.2 GB.
MAX_BYTES = 1 << 30


@contextmanager
def parsing(path: Path, what: str) -> Iterator[None]:
    """Turn any misfit of content into a message that names the file and the format.

    Raises
    ------
    InputError
        For lookup, type and value errors of the body; its own pass through.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: not as {what} writes it ({error!r:.200})",
            "see docs/formats.md for the layout that is read, or name another --format",
        ) from None


def check_bytes(path: Path, limit: int = MAX_BYTES) -> None:
    """Check that a file exists and is neither empty nor absurdly large.

    Raises
    ------
    InputError
        If it is.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "check the path") from None
    if path.is_dir():
        raise InputError(f"{path}: is a folder", "give a file of it")
    if not size:
        raise InputError(f"{path}: is empty (0 bytes)", "write it again")
    if size > limit:
        raise InputError(
            f"{path}: has {size / 2**20:.0f} MB, more than the {limit / 2**20:.0f} MB that "
            "are read at once",
            "split the take, or check that this is the right file",
        )


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Read JSON, or JSON lines if the suffix is ``.jsonl``.

    Raises
    ------
    InputError
        If the file is missing, too large, cut short or not JSON; with the line.
    """
    check_bytes(path, limit)
    line = 0
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".jsonl":
            return json.loads(text)
        records = []
        for line, part in enumerate(text.splitlines(), 1):  # noqa: B007 (the error needs it)
            if part.strip():
                records.append(json.loads(part))
        return records
    except (OSError, ValueError, RecursionError) as error:
        at = f", line {line}" if line else ""
        raise InputError(
            f"{path}{at}: not JSON, or cut short ({error!s:.120})", "write or copy it again"
        ) from None


def triples(values: Any, k: int | None, where: str) -> F64:
    """Take a flat list ``x, y, c, x, y, c, ...`` apart, to shape (K, 3).

    Raises
    ------
    InputError
        If it is not ``k`` triples of numbers (any number of them if None).
    """
    try:
        flat = np.array(values, np.float64)
    except (TypeError, ValueError):
        flat = np.zeros((0, 0))
    wrong = flat.ndim != 1 or flat.size % 3 or (k is not None and flat.size != 3 * k)
    if wrong:
        wanted = f"{3 * k} (x, y, confidence of {k} keypoints)" if k else "triples x, y, confidence"
        found = f"{flat.size} numbers" if flat.ndim == 1 else "something else"
        raise InputError(f"{where} holds {found}, expected {wanted}", "check what wrote it")
    return flat.reshape(-1, 3)


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Raises
    ------
    InputError
        If h5py is not installed, or the file is no HDF5 or damaged.
    """
    check_bytes(path)
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{path}: reading HDF5 needs h5py",
            'pip install "multiview-bootstrapping[hdf5]", or give the program\'s csv',
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: not HDF5, or damaged ({error!s:.120})", "copy or write it again"
        ) from None
    with file:
        try:
            yield file
        except OSError as error:  # damage is found when a chunk is read
            raise InputError(f"{path}: damaged ({error!s:.120})", "copy it again") from None


def hdf5_array(group: Any, name: str) -> Any:
    """Read a dataset whose unpacked size is checked first; links to other files are not followed.

    Raises
    ------
    KeyError
        If there is none.
    InputError
        If it would unpack to more than `MAX_BYTES`.
    """
    import h5py

    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink) or not isinstance(group.get(name), h5py.Dataset):
        raise KeyError(name)
    data = group[name]
    if data.nbytes > MAX_BYTES:
        raise InputError(
            f"{group.file.filename}: {name} unpacks to {data.nbytes / 2**20:.0f} MB",
            "split the take, or check that this is the right file",
        )
    return data[()]
