"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multiview.errors import InputError

__all__ = ["disk_errors", "new_folder", "replacing", "write_text"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into a message that names the path.

    Raises
    ------
    InputError
        For any ``OSError`` of the body.
    """
    try:
        yield
    except OSError as error:
        # pyarrow keeps the number only in its text
        text = str(error)
        full = error.errno in FULL or any(f"[errno {n}]" in text.lower() for n in FULL)
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error})",
            "free some space and run the same command again; finished parts are kept"
            if full
            else "choose another --out folder or change its permissions",
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it over ``path`` if the body succeeds."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text to ``path`` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; rename it to ``path`` if the body succeeds.

    Parameters
    ----------
    path
        May be there and empty.
    replace
        Replace what is there.

    Raises
    ------
    InputError
        If ``path`` is there and not to be replaced.
    """
    there = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if there and not replace:
        raise InputError(
            f"{path} exists",
            "choose another --out; --force replaces a dataset, and nothing else",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        content = work / "new"
        content.mkdir()
        yield content
        if path.exists():
            path.rename(work / "old")
        try:
            content.rename(path)
        except OSError:
            if (work / "old").exists():
                (work / "old").rename(path)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
