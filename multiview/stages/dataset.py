"""`multiview dataset`: join, convert and split training datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from multiview._shapes import present
from multiview.bootstrap.splits import SplitConfig, split_by
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.datasets import join, save_dataset
from multiview.formats.datasets.pictures import Pictures
from multiview.formats.datasets.store import MANIFEST
from multiview.formats.foreign import read_json
from multiview.progress import say
from multiview.stages.review_folder import load_kept

__all__ = ["Hands", "Selection", "run_convert_dataset", "run_split_dataset"]

Hands = Literal["all", "known", "left", "right"]
Selection = tuple[Hands, bool]


def run_convert_dataset(
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "",
    source_format: str = "",
    pictures: Path | None = None,
    select: Selection = ("all", False),
    force: bool = False,
) -> Path:
    """Join datasets and write them in another layout.

    Parameters
    ----------
    sources
        Datasets of any layout.
    out
        New folder.
    format, source_format
        Layouts; found out where empty.
    pictures
        Folder of the pictures, where they are not in the dataset.
    select
        Which hands, and whether only those with all 3D keypoints.
    force
        Replace a dataset that is there.
    """
    samples, found, made_from = _joined(sources, source_format, pictures)
    samples = _selected(samples, select)
    save_dataset(samples, out, format, pictures=found, made_from=made_from, force=force)
    _say_written("convert", out)
    return out


def run_split_dataset(
    sources: Sequence[Path],
    out: Path,
    config: SplitConfig,
    *,
    format: str = "parquet",
    select: Selection = ("all", False),
    force: bool = False,
) -> Path:
    """Join datasets, divide them, and write them with their splits.

    Parameters
    ----------
    sources, out, format, select, force
        As in `run_convert_dataset`.
    config
        How to divide.
    """
    samples, found, made_from = _joined(sources, "", None)
    samples = _selected(samples, select)
    divided = split_by(samples, config)
    save_dataset(divided, out, format, pictures=found, made_from=made_from, force=force)
    _say_written("split", out)
    left = len(samples) - len(divided)
    if left:
        say(f"  {left} hands within gaps between blocks of time were left out")
    return out


def _joined(
    sources: Sequence[Path], format: str, pictures: Path | None
) -> tuple[HandSamples, Pictures, str]:
    if pictures is not None and len(sources) > 1:
        raise InputError("--pictures is for one dataset", "convert one after the other")
    found = [load_kept(path, format) for path in sources]
    samples, where = join(found)
    where = where if pictures is None else Pictures.below(pictures)
    return samples, where, " ".join(d.identity for d in found)


def _selected(samples: HandSamples, select: Selection) -> HandSamples:
    hands, complete = select
    known = np.isfinite(samples.right)
    right = known & (samples.right >= 0.5)
    wanted = {"all": known | True, "known": known, "left": known & ~right, "right": right}[hands]
    if complete:
        wanted = wanted & np.asarray(present(samples.xyz_world).all(1), np.bool_)
    if not wanted.any():
        raise InputError(
            f"of {len(samples)} hands none is left (--hands {hands}"
            + (", --complete)" if complete else ")"),
            "select less strictly",
        )
    return samples.take(np.flatnonzero(wanted))


def _say_written(verb: str, out: Path) -> None:
    about = read_json(out / MANIFEST)
    splits = ", ".join(f"{n} {s or 'without a split'}" for s, n in about["splits"].items())
    say(f"{verb}: {about['samples']} hands in {about['pictures']} pictures ({splits}) -> {out}")
    say(f"  format {about['layout']}, digest {about['digest'][:16]}")
    if about["lost"]:
        say(f"  not in this format: {about['lost']}")
