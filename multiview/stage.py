"""Stages: results appear complete or not at all, are never redone, and never silently stale.

A stage writes into ``<out>.partial`` beside its folder and renames it when done; the manifest comes
last. The partial folder outlives a kill, so shards finished in it are not computed again.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from multiview.errors import InputError, MultiviewError, StaleStageError
from multiview.formats.atomic import disk_errors, write_text

__all__ = ["Stage", "file_digest", "package_version", "provenance", "read_manifest"]

MANIFEST, PLAN = "manifest.json", "plan.json"


def package_version(name: str = "multiview-bootstrapping") -> str:
    """Installed version of a package, or "unknown" in a bare source tree."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def provenance() -> dict[str, str]:
    """Versions that a number depends on."""
    names = ("numpy", "opencv-python-headless", "opencv-python", "av")
    found = {n: package_version(n) for n in names}
    return {
        "multiview": package_version(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{n: v for n, v in found.items() if v != "unknown"},
    }


def file_digest(path: Path) -> str:
    """Content hash of a file, 16 hex digits."""
    import hashlib

    with disk_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a finished stage says of itself.

    Raises
    ------
    InputError
        If the folder is not the output of a stage.
    """
    path = folder / MANIFEST
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is not the output of a finished stage (no {MANIFEST})",
            "give the --out folder of the earlier command, or run that command again",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "run that stage again") from None


@dataclass(slots=True)
class Stage:
    """One run of a stage into a folder.

    Parameters
    ----------
    name
        The verb.
    config, inputs
        What determines the result: plain data, and digests of the inputs.
    out
        The folder that will hold it.
    force
        Replace results of other inputs instead of refusing.
    """

    name: str
    config: dict[str, Any]
    inputs: dict[str, str]
    out: Path
    force: bool = False
    done: bool = field(init=False, default=False)
    started: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # through JSON, so that tuples and lists compare equal with what was written
        self.config = json.loads(json.dumps(self.config, default=str))
        self.done = self._is_done()
        if not self.done:
            self._prepare()

    @property
    def work(self) -> Path:
        """Where to write while the stage runs."""
        return self.out.with_name(f"{self.out.name}.partial")

    def _key(self) -> dict[str, Any]:
        return {"stage": self.name, "config": self.config, "inputs": self.inputs}

    def _is_done(self) -> bool:
        if not self.out.exists():
            return False
        if self.out.is_dir() and not any(self.out.iterdir()):
            return False
        old = read_manifest(self.out) if (self.out / MANIFEST).exists() else None
        if old is None:
            raise InputError(
                f"{self.out} exists and was not written by multiview",
                "choose another --out folder; nothing in it was touched",
            )
        changed = _difference(old, self._key())
        if not changed:
            return True
        if self.force:
            return False
        raise StaleStageError(
            f"{self.out} holds a {old.get('stage')} result made differently: {changed}",
            "add --force to replace it, or choose another --out folder",
        )

    def _prepare(self) -> None:
        """Keep the shards of an interrupted run of the same stage; drop those of another."""
        plan = self.work / PLAN
        with disk_errors(self.work):
            if self.work.exists():
                self._check_own(plan)
                try:
                    same = json.loads(plan.read_text(encoding="utf-8")) == self._key()
                except (OSError, ValueError):
                    same = False
                if not same:
                    shutil.rmtree(self.work)
                for torn in self.work.rglob(".*"):  # files that a kill left half-written
                    torn.unlink()
            self.work.mkdir(parents=True, exist_ok=True)
        write_text(plan, json.dumps(self._key(), indent=1, sort_keys=True))

    def _check_own(self, plan: Path) -> None:
        """Refuse a partial folder that is not ours: it may be somebody's data."""
        entries = [p for p in self.work.iterdir() if not p.name.startswith(f".{plan.stem}.")]
        if entries and not plan.exists():
            raise InputError(
                f"{self.work} exists and was not written by multiview",
                "choose another --out folder, or move that folder away; nothing was touched",
            )

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Leave no folder behind when the body refuses its input before it finished any part."""
        try:
            yield
        except MultiviewError:
            if self.work.is_dir() and [p.name for p in self.work.iterdir()] == [PLAN]:
                shutil.rmtree(self.work)
            raise

    def finish(self, figures: dict[str, Any]) -> Path:
        """Write the manifest and give the folder its name.

        Parameters
        ----------
        figures
            Numbers of the run worth keeping; NaN becomes null.
        """
        manifest = self._key() | {
            "figures": _plain(figures),
            "seconds": round(time.monotonic() - self.started, 3),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": " ".join(sys.argv),
            "versions": provenance(),
        }
        with disk_errors(self.out):
            (self.work / PLAN).unlink(missing_ok=True)
            write_text(self.work / MANIFEST, json.dumps(manifest, indent=1) + "\n")
            if self.out.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{self.out.name}.old-", dir=self.out.parent))
                self.out.rename(old / self.out.name)
                self.work.rename(self.out)
                shutil.rmtree(old, ignore_errors=True)
            else:
                self.work.rename(self.out)
        return self.out


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Name the changed keys, or return an empty string."""
    if old.get("stage") != new["stage"]:
        return f"it is the output of {old.get('stage')!r}"
    lines = []
    for part in ("config", "inputs"):
        before, after = old.get(part, {}), new[part]
        for key in sorted(set(before) | set(after)):
            if before.get(key) != after.get(key):
                lines.append(f"{key} was {before.get(key)!r}, now {after.get(key)!r}")
    return "; ".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
