"""``samples.parquet`` beside ``images/``: everything, lossless."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.formats.datasets.pictures import Pictures, picture_names
from multiview.formats.datasets.rows import Loaded
from multiview.formats.samples_parquet import read_samples, write_samples

__all__ = ["FILE", "read_parquet", "write_parquet"]

FILE = "samples.parquet"


def write_parquet(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write the table and link the pictures."""
    names = [f"images/{name}" for name in picture_names(samples)]
    for image, name in zip(samples.image.tolist(), names, strict=True):
        pictures.place(image, folder / name)
    write_samples(replace(samples, image=np.array(names, np.str_)), folder / FILE)


def read_parquet(folder: Path) -> Loaded:
    """Read the table."""
    path = folder if folder.is_file() else folder / FILE
    samples = read_samples(path)
    return Loaded(samples, [f"{path}: row {n}" for n in range(len(samples))])
