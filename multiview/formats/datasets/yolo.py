"""YOLO-pose: ``data.yaml``, ``images/<split>/*.jpg``, ``labels/<split>/*.txt``.

A line a hand: ``class cx cy w h`` and ``px py v`` for every keypoint, as shares of the picture's
width and height, edges at 0 and 1: ``(x + 0.5) / width``. Missing keypoints are ``0 0 0``.

``data.yaml`` names no ``path``: without one its own folder counts, so the dataset can be moved.
``flip_idx`` says which keypoint a mirrored one becomes. Mirroring a hand changes its side, not
which finger is which: it is the identity. (Left-right pairs belong to bodies.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from multiview._files import IMAGE_SUFFIXES
from multiview._shapes import F64
from multiview.config import load_yaml
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.datasets.pictures import Pictures, picture_names, size_of
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    points_of,
    safe_name,
    split_of,
    splits_of,
)
from multiview.formats.foreign import parsing
from multiview.formats.keypoint_names import skeleton_of

__all__ = ["FILE", "read_yolo", "write_yolo"]

FILE = "data.yaml"
# Shares to 1e-7 are a thousandth of a pixel of a picture 10 000 pixels wide.
DIGITS = 7


def write_yolo(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write labels and ``data.yaml``, and link the pictures."""
    names = [name.replace("/", "__") for name in picture_names(samples)]
    lines: dict[tuple[str, str], list[str]] = {}
    splits = [s or "all" for s in samples.split.tolist()]
    for n, row in enumerate(_numbers(samples)):
        at = (safe_name(splits[n]), names[n])
        lines.setdefault(at, []).append(row)
        pictures.place(str(samples.image[n]), folder / "images" / at[0] / at[1])
    for (split, name), rows in lines.items():
        path = folder / "labels" / split / f"{name.rsplit('.', 1)[0]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    _write_yaml(samples, folder / FILE)


def _write_yaml(samples: HandSamples, path: Path) -> None:
    present = splits_of(samples)
    # both keys are obligatory there; a dataset without a split is validated on itself
    roles = {"train": present[0], "val": present[0]} | {s: s for s in present if s != "all"}
    k = len(samples.skeleton.keypoints)
    data = {
        **{role: f"images/{split}" for role, split in roles.items()},
        "kpt_shape": [k, 3],
        "flip_idx": list(range(k)),
        "names": {0: "hand"},
        "kpt_names": {0: list(samples.skeleton.keypoints)},
    }
    write_text(path, yaml.safe_dump(data, sort_keys=False, default_flow_style=None))


def _numbers(samples: HandSamples) -> list[str]:
    """One line of text a hand."""
    size = samples.size_wh[:, None].astype(np.float64)
    xy = np.nan_to_num((samples.xy_px + 0.5) / size)
    box = samples.box_xywh
    centre = (box[:, :2] + box[:, 2:] / 2 + 0.5) / size[:, 0]
    head = np.concatenate([centre, box[:, 2:] / size[:, 0]], axis=1)
    lines = []
    for row, points, seen in zip(head, xy, samples.visibility.tolist(), strict=True):
        cells = [f"{x:.{DIGITS}f}" for x in row.tolist()]
        for (x, y), v in zip(points.tolist(), seen, strict=True):
            cells += [f"{x:.{DIGITS}f}", f"{y:.{DIGITS}f}", str(v)] if v else ["0", "0", "0"]
        lines.append(" ".join(["0", *cells]))
    return lines


def read_yolo(folder: Path) -> Loaded:
    """Read the splits that ``data.yaml`` names.

    Raises
    ------
    InputError
        If a line has a wrong count, a number outside 0 to 1 or an unknown class, a label file has
        no picture, or ``flip_idx`` exchanges fingers.
    """
    path = folder / FILE
    data = load_yaml(path)
    with parsing(path, "YOLO-pose"):
        k, width = data["kpt_shape"]
        _check_flip(path, data.get("flip_idx", list(range(k))), k)
        names = next(iter((data.get("kpt_names") or {0: ()}).values()))
        skeleton, order = skeleton_of(path, k, tuple(names))
        rows = Rows(path, skeleton)
        classes = len(data["names"])
        folders = {data[s]: s for s in ("test", "val", "train") if data.get(s)}
        for place, role in sorted(folders.items(), key=lambda item: item[0]):
            images = _images(folder, str(data.get("path", "")), place)
            split = split_of(Path(place).name) if len(folders) == 1 else role
            _read_split(rows, folder, images, split, (k, width, classes), order)
    return rows.loaded()


def _images(folder: Path, root: str, place: str) -> Path:
    """Find a split's pictures: below `path`, or beside ``data.yaml`` where that was moved."""
    # ../train/images is written for train/images by some tools
    tails = [place, place.removeprefix("../")]
    for path in [folder / root / place, *(folder / tail for tail in tails)]:
        if path.is_dir() and path.resolve().is_relative_to(folder.resolve()):
            return folder / path.resolve().relative_to(folder.resolve())
    raise InputError(
        f"{folder / FILE}: its pictures {place} are not in {folder}",
        "copy them there, or correct the path in data.yaml",
    )


def _check_flip(path: Path, flip: list[int], k: int) -> None:
    if flip != list(range(k)):
        raise InputError(
            f"{path}: flip_idx exchanges keypoints, but a mirrored hand keeps its fingers",
            f"write flip_idx: [0, 1, ..., {k - 1}]; models trained with another one learned "
            "swapped fingers",
        )


def _read_split(
    rows: Rows,
    folder: Path,
    images: Path,
    split: str,
    shape: tuple[int, int, int],
    order: list[int],
) -> None:
    labels = Path(*["labels" if p == "images" else p for p in images.parts])
    files = {p.stem: p for p in sorted(images.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    for path in sorted(labels.glob("*.txt")):
        if path.stem not in files:
            raise InputError(f"{path}: has no picture in {images}", "copy it, or delete the file")
        picture = files[path.stem]
        size = size_of(picture)
        name = picture.relative_to(folder).as_posix()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip():
                where = f"{path}, line {number}"
                numbers = _parse(line, where, shape)
                _add(rows, where, (name, size, split), numbers, shape, order)


def _parse(line: str, where: str, shape: tuple[int, int, int]) -> F64:
    k, width, classes = shape
    numbers: F64 = points_of(line.split(), 1, 5 + k * width, where)[0]
    if numbers[0] not in range(classes):
        raise InputError(f"{where}: class {numbers[0]:g} is not in data.yaml", "correct it")
    places = numbers.copy()
    if width == 3:
        places[7::3] = 0
    if (places[1:] < 0).any() or (places[1:] > 1).any():
        raise InputError(
            f"{where}: has a number outside 0 to 1: labels outside the image, or in pixels",
            "divide by the picture's width and height, and write 0 0 0 for points outside",
        )
    return numbers


def _add(
    rows: Rows,
    where: str,
    picture: tuple[str, tuple[int, int], str],
    numbers: F64,
    shape: tuple[int, int, int],
    order: list[int],
) -> None:
    name, size, split = picture
    points = numbers[5:].reshape(shape[0], shape[1])[order]
    # two numbers a keypoint have no flag: 0, 0 is missing
    flags = points[:, 2] if shape[1] == 3 else np.where((points > 0).any(-1), 2.0, 0.0)
    seen = flags_of(flags, (0, 1, 2), where)
    scale = np.array(size, np.float64)
    centre, extent = numbers[1:3] * scale - 0.5, numbers[3:5] * scale
    given: dict[str, Any] = {"visibility": seen, "split": split, "frame_id": len(rows.where)}
    box = np.concatenate([centre - extent / 2, extent])
    rows.add(where, name, size, points[:, :2] * scale - 0.5, box_xywh=box, **given)
