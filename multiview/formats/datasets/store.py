"""Datasets as folders: any layout, pictures linked, a manifest with the digest, all or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import HandSamples
from multiview.core.samples import concatenate
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors, new_folder, write_text
from multiview.formats.datasets import (
    coco,
    deeplabcut,
    freihand,
    hand_labels,
    interhand,
    panoptic,
    panopticdb,
    parquet,
    slp,
    webdataset,
    wholebody,
    yolo,
)
from multiview.formats.datasets.detect import detect_layout
from multiview.formats.datasets.faults import refuse_faults
from multiview.formats.datasets.pictures import Pictures
from multiview.formats.datasets.rows import Loaded
from multiview.formats.foreign import read_json

__all__ = [
    "LAYOUTS",
    "MANIFEST",
    "Dataset",
    "Layout",
    "content_digest",
    "join",
    "load_dataset",
    "open_dataset",
    "save_dataset",
]

MANIFEST, SUMS = "dataset.json", "pictures.sha256"
VERSION = "multiview-dataset/1"
PROVENANCE = "session, camera, frame, time, subject, source, round, rig"


@dataclass(frozen=True, slots=True)
class Layout:
    """A format: how it is written and read, and what it has no place for."""

    write: Callable[[HandSamples, Path, Pictures], None]
    read: Callable[[Path], Loaded]
    lost: str = ""


LAYOUTS = {
    "parquet": Layout(parquet.write_parquet, parquet.read_parquet),
    "webdataset": Layout(
        webdataset.write_webdataset, webdataset.read_webdataset, "the picture around the crop"
    ),
    "coco": Layout(
        coco.write_coco_files, coco.read_coco_files, "3D, cameras, inlier views, residuals"
    ),
    "yolo": Layout(
        yolo.write_yolo, yolo.read_yolo, f"left and right, weights, sigma, 3D, {PROVENANCE}"
    ),
    "hand_labels": Layout(
        hand_labels.write_hand_labels,
        hand_labels.read_hand_labels,
        f"visibility 1 against 2, the box's size, weights, sigma, 3D, {PROVENANCE}",
    ),
    "panopticdb": Layout(
        panopticdb.write_panopticdb,
        panopticdb.read_panopticdb,
        f"visibility 1 against 2, the box's size, val against test, weights, sigma, 3D, "
        f"{PROVENANCE}",
    ),
    "freihand": Layout(
        freihand.write_freihand,
        freihand.read_freihand,
        f"visibility, boxes, weights, sigma, lens distortion, poses of cameras, {PROVENANCE}",
    ),
    "interhand": Layout(
        interhand.write_interhand,
        interhand.read_interhand,
        "visibility 1 against 2, boxes of single hands, weights, sigma, lens distortion, time, "
        "source, round, rig digest",
    ),
    "wholebody": Layout(
        wholebody.write_wholebody,
        wholebody.read_wholebody,
        "weights, sigma, 3D, source, round",
    ),
    "panoptic": Layout(
        panoptic.write_panoptic,
        panoptic.read_panoptic,
        "splits, boxes, weights of single views, sigma, time, subject, source, round, rig digest",
    ),
    "slp": Layout(
        slp.write_slp,
        slp.read_slp,
        f"visibility 1 against 2, boxes, weights, sigma, 3D, {PROVENANCE}",
    ),
    "deeplabcut": Layout(
        deeplabcut.write_labeled_data,
        deeplabcut.read_labeled_data,
        f"splits, visibility 1 against 2, boxes, weights, sigma, 3D, {PROVENANCE}",
    ),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that was read.

    Parameters
    ----------
    samples
        The labelled hands.
    pictures
        Where their pictures lie.
    format
        Name of the layout.
    where
        File and entry of each sample.
    manifest
        What `save_dataset` wrote of it; empty for datasets of other programs.
    """

    samples: HandSamples
    pictures: Pictures
    format: str
    where: Sequence[str]
    manifest: dict[str, Any]

    @property
    def digest(self) -> str:
        """The digest its manifest states, which model cards name; empty without one."""
        return str(self.manifest.get("digest", ""))

    @property
    def identity(self) -> str:
        """Its digest; without one, that of its labels."""
        return self.digest or self.samples.digest


def save_dataset(
    samples: HandSamples,
    path: str | Path,
    format: str = "",
    *,
    pictures: Pictures | str | Path,
    made_from: str = "",
    force: bool = False,
) -> Path:
    """Write a dataset: labels, pictures, ``pictures.sha256`` and last ``dataset.json``.

    Parameters
    ----------
    samples
        Labelled hands.
    path
        New folder; ``name.coco`` names its format by its suffix.
    format
        One of `LAYOUTS`.
    pictures
        Folder that the samples' pictures are named from.
    made_from
        Digest of the dataset these are from.
    force
        Replace a dataset that is there.

    Raises
    ------
    InputError
        If the folder exists, the format is unknown or cannot hold the samples, a label lies
        outside its picture, a picture is missing, or the disk is full. Nothing is left behind.
    """
    path = Path(path)
    name = _layout_name(path, format)
    refuse_faults(Loaded(samples, [str(image) for image in samples.image]))
    old = (path / MANIFEST).exists()
    roots = pictures.roots if isinstance(pictures, Pictures) else {"": Path(pictures)}
    with disk_errors(path), new_folder(path, replace=force and old) as work:
        LAYOUTS[name].write(samples, work, Pictures(roots))
        # what anyone reads from the folder is what the digest is of
        again = refuse_faults(LAYOUTS[name].read(work))
        if len(again) != len(samples):
            raise InputError(
                f"{path}: {len(samples)} hands were written as {name} and {len(again)} read back",
                "report this as a bug; write parquet meanwhile",
            )
        sums = picture_sums(again, Pictures.below(work))
        write_text(work / SUMS, "".join(f"{sha}  {image}\n" for image, sha in sums.items()))
        about = _manifest(again, name, sums) | {"made_from": made_from}
        write_text(work / MANIFEST, json.dumps(about, indent=1) + "\n")
    return path


def _layout_name(path: Path, format: str) -> str:
    name = format or path.suffix.removeprefix(".").lower()
    if name not in LAYOUTS:
        raise InputError(
            f"{path}: no dataset format is called {name!r}",
            f"give --format: {', '.join(LAYOUTS)}",
        )
    return name


def picture_sums(samples: HandSamples, pictures: Pictures) -> dict[str, str]:
    """Content hash (sha256) of every picture, in the order of their names."""
    return {image: pictures.digest(image) for image in sorted(set(samples.image.tolist()))}


def content_digest(samples: HandSamples, sums: dict[str, str]) -> str:
    """Hash labels, provenance and pictures (sha256)."""
    text = [samples.digest, *(f"{sha}  {image}" for image, sha in sorted(sums.items()))]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()


def _manifest(samples: HandSamples, name: str, sums: dict[str, str]) -> dict[str, Any]:
    names, counts = np.unique(samples.split, return_counts=True)
    return {
        "format": VERSION,
        "layout": name,
        "digest": content_digest(samples, sums),
        "samples": len(samples),
        "pictures": len(sums),
        "splits": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "keypoints": samples.skeleton.name,
        "rounds": sorted(set(samples.round.tolist())),
        "sessions": sorted(set(samples.session.tolist())),
        "lost": LAYOUTS[name].lost,
    }


def open_dataset(path: str | Path, format: str = "") -> Dataset:
    """Read a dataset without refusing faulty labels; for `check`.

    Raises
    ------
    InputError
        If its layout is unknown, or an entry cannot be read; names file and entry.
    """
    path = Path(path)
    if path.name in {MANIFEST, yolo.FILE}:
        path = path.parent
    about = read_json(path / MANIFEST) if (path / MANIFEST).is_file() else {}
    about = about if isinstance(about, dict) else {}
    name = format or about.get("layout") or detect_layout(path)
    if name not in LAYOUTS:
        raise InputError(
            f"{path}: no dataset format is called {name!r}", f"one of {', '.join(LAYOUTS)}"
        )
    loaded = LAYOUTS[name].read(path)
    root = path if path.is_dir() else path.parent
    if path.is_file() and root.name == "annotations":
        root = root.parent
    return Dataset(loaded.samples, Pictures.below(root), name, loaded.where, about)


def load_dataset(path: str | Path, format: str = "") -> Dataset:
    """Read a dataset of any layout: those of `save_dataset`, and genuine ones.

    Parameters
    ----------
    path
        Its folder, or the one file of it that is to be read.
    format
        One of `LAYOUTS`; by default its manifest, or the files that are there, say it.

    Raises
    ------
    InputError
        If its layout is unknown, a count, order, box or label is wrong; names file and entry.
    """
    found = open_dataset(path, format)
    refuse_faults(Loaded(found.samples, found.where))
    return found


def join(datasets: Sequence[Dataset]) -> tuple[HandSamples, Pictures]:
    """Join datasets; pictures are named by the dataset's number and their old path.

    Raises
    ------
    InputError
        If there are none, their skeletons differ, or a hand of one frame is in two of them.
    """
    if len(datasets) == 1:
        return datasets[0].samples, datasets[0].pictures
    _refuse_overlap(datasets)
    parts = []
    for number, d in enumerate(datasets):
        names = [f"{number}/{image}" for image in d.samples.image.tolist()]
        parts.append(replace(d.samples, image=np.array(names, np.str_)))
    roots = {str(number): d.pictures.roots[""] for number, d in enumerate(datasets)}
    return concatenate(parts), Pictures(roots)


def _refuse_overlap(datasets: Sequence[Dataset]) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for number, d in enumerate(datasets):
        s = d.samples
        columns = (s.session, s.camera, s.frame_id, np.nan_to_num(s.right, nan=-1))
        for key in set(zip(*(c.tolist() for c in columns), strict=True)):
            if key[0] and seen.setdefault(key, number) != number:
                raise InputError(
                    f"two of the datasets have the same hand: session {key[0]!r}, camera "
                    f"{key[1]!r}, frame {key[2]}",
                    "join each take once, and give every take a session of its own",
                )
