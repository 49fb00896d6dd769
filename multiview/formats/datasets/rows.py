"""What a reader collects from a file: one entry a hand, and where in the file it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.core import HAND_21, Camera, HandSamples, Skeleton
from multiview.core.samples import hand_box, make_samples
from multiview.errors import InputError

__all__ = [
    "Loaded",
    "Rows",
    "flags_of",
    "only_hands",
    "only_sides",
    "points_of",
    "safe_name",
    "split_of",
    "splits_of",
]

UNSPLIT = "all"
# All that a path may hold to be a file below the dataset on every system.
UNSAFE = re.compile(r"[^\w.+=@-]+")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Samples, and for each the file and entry it came from."""

    samples: HandSamples
    where: Sequence[str]


@dataclass(slots=True)
class Rows:
    """Hands of one dataset, collected one by one.

    Parameters
    ----------
    path
        For messages.
    skeleton
        Meaning of the keypoints.
    """

    path: Path
    skeleton: Skeleton = HAND_21
    cameras: list[Camera] = field(default_factory=list)
    views: dict[str, tuple[str, ...]] = field(default_factory=dict)
    where: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, where: str, image: str, size_wh: Sequence[int], xy: F64, **given: Any) -> None:
        """Add a hand; every hand of a dataset gives the same fields.

        Raises
        ------
        InputError
            If the picture's path leads out of the dataset, or the size is none.
        """
        parts = image.replace("\\", "/").split("/")
        if any(p in {"", ".."} or ":" in p for p in parts):
            raise InputError(
                f"{where}: the picture {image!r} lies outside the dataset",
                "name pictures by their path below the dataset's folder",
            )
        values = {"image": "/".join(parts), "size_wh": size_wh, "xy_px": xy} | given
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)
        self.where.append(where)

    def loaded(self) -> Loaded:
        """Make the samples.

        Raises
        ------
        InputError
            If the file holds none.
        """
        if not self.where:
            raise InputError(f"{self.path}: holds no labelled hand", "check that it is the dataset")
        c = {n: np.array(v) for n, v in self.columns.items()}
        xy, seen = c.pop("xy_px"), c.pop("visibility")
        xy = np.where(seen[..., None] > 0, xy, np.nan)
        if "box_xywh" in c:  # some entries may have none
            absent = np.isnan(c["box_xywh"]).any(-1, keepdims=True)
            c["box_xywh"] = np.where(absent, hand_box(xy, c["size_wh"]), c["box_xywh"])
        samples = make_samples(
            xy_px=xy,
            visibility=seen,
            skeleton=self.skeleton,
            cameras=tuple(self.cameras),
            views=self.views,
            **c,
        )
        return Loaded(samples, self.where)


def points_of(values: Any, k: int, width: int, where: str) -> F64:
    """Take K keypoints of `width` numbers, flat or nested.

    Raises
    ------
    InputError
        If the count is another, or a number is none.
    """
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.size != k * width:
        raise InputError(
            f"{where}: holds {array.size} numbers, expected {k * width} ({k} keypoints of {width})",
            "check what wrote it: a hand has 21 keypoints, wrist first"
            if k == 21
            else "correct it",
        )
    if not np.isfinite(array).all():
        raise InputError(f"{where}: holds a number that is not finite", "write 0 where missing")
    return array.reshape(k, width)


def flags_of(values: F64, allowed: tuple[int, ...], where: str) -> IntArray:
    """Take visibility or validity flags.

    Raises
    ------
    InputError
        If one is not among the allowed.
    """
    wrong = values[~np.isin(values, allowed)]
    if wrong.size:
        raise InputError(
            f"{where}: has the flag {wrong[0]:g}, allowed are {', '.join(map(str, allowed))}",
            "correct it; scores do not belong there",
        )
    return np.asarray(values, np.int64)


def only_hands(samples: HandSamples, format: str) -> None:
    """Refuse skeletons that a format of 21 hand keypoints cannot hold.

    Raises
    ------
    InputError
        If it is another.
    """
    if samples.skeleton != HAND_21:
        raise InputError(
            f"{format} holds hands of 21 keypoints, these samples have skeleton "
            f"{samples.skeleton.name!r} of {len(samples.skeleton.keypoints)}",
            "write coco, yolo or parquet",
        )


def only_sides(samples: HandSamples, format: str, side: str = "") -> None:
    """Refuse hands of unknown handedness, or of the one that a format does not know.

    Raises
    ------
    InputError
        If there are some.
    """
    unknown = int(np.isnan(samples.right).sum())
    if unknown:
        raise InputError(
            f"{format} needs left or right, which {unknown} of {len(samples)} hands do not say",
            "write coco, yolo or parquet, or keep the others: --hands known",
        )
    left = int((samples.right < 0.5).sum())
    if side == "right" and left:
        raise InputError(
            f"{format} takes every hand for a right one, and {left} of {len(samples)} are left",
            "keep the right ones: --hands right",
        )


def splits_of(samples: HandSamples) -> list[str]:
    """Name the splits, ``train`` first; one without a split is called ``all``."""
    names = {s or UNSPLIT for s in samples.split.tolist()}
    return sorted(names, key=lambda s: ({"train": 0, "val": 1, "test": 2}.get(s, 3), s))


def split_of(name: str) -> str:
    """Split that a folder or file name stands for."""
    return "" if name == UNSPLIT else name


def safe_name(text: str) -> str:
    """Turn any name into one that every file system takes, of one path component."""
    return UNSAFE.sub("-", text).strip(".") or "-"
