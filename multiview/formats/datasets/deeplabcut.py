"""DeepLabCut: ``labeled-data/<session-camera>/CollectedData_multiview.csv`` beside its pictures.

The layout of several animals: header lines ``scorer, individuals, bodyparts, coords``; rows are
named by folder, video and picture. The individuals are ``left`` and ``right``. Pixels as here. In
DeepLabCut, ``deeplabcut.convertcsv2h5(config)`` makes the h5 it trains from.
"""

from __future__ import annotations

import csv
import math
from itertools import islice
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import replacing
from multiview.formats.datasets.coco import SIDES, sides
from multiview.formats.datasets.pictures import Pictures, picture_names, size_of
from multiview.formats.datasets.rows import Loaded, Rows, only_sides, safe_name
from multiview.formats.foreign import check_bytes, parsing
from multiview.formats.keypoint_names import skeleton_of

__all__ = ["read_labeled_data", "write_labeled_data"]

SCORER, DIGITS_PX = "multiview", 3
HEADER = ("scorer", "individuals", "bodyparts", "coords")
Shots = dict[str, dict[str, int]]


def write_labeled_data(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a table a session and camera, and link the pictures."""
    only_sides(samples, "deeplabcut")
    videos: dict[str, Shots] = {}
    hands = sides(samples)
    for n, name in enumerate(picture_names(samples)):
        place, _, file = name.rpartition("/")
        video = safe_name(place.replace("/", "_") or "pictures")
        shot = videos.setdefault(video, {}).setdefault(f"img{file}", {})
        if hands[n] in shot:
            raise InputError(
                f"deeplabcut holds one {hands[n]} hand a picture, {samples.image[n]} has more",
                "write coco, yolo, slp or parquet",
            )
        shot[hands[n]] = n
        pictures.place(str(samples.image[n]), folder / "labeled-data" / video / f"img{file}")
    for video, shots in videos.items():
        _write_table(samples, folder / "labeled-data" / video, video, shots)


def _write_table(samples: HandSamples, place: Path, video: str, shots: Shots) -> None:
    k = len(samples.skeleton.keypoints)
    columns = [(s, p, c) for s in SIDES for p in samples.skeleton.keypoints for c in "xy"]
    with (
        replacing(place / f"CollectedData_{SCORER}.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        out = csv.writer(stream, lineterminator="\n")
        out.writerow([HEADER[0], "", "", *[SCORER] * len(columns)])
        for level, name in enumerate(HEADER[1:]):
            out.writerow([name, "", "", *(c[level] for c in columns)])
        for file in sorted(shots):
            cells = ["labeled-data", video, file]
            for side in SIDES:
                n = shots[file].get(side)
                xy = [math.nan] * 2 * k if n is None else samples.xy_px[n].ravel().tolist()
                cells += ["" if v != v else f"{v:.{DIGITS_PX}f}" for v in xy]
            out.writerow(cells)


def read_labeled_data(folder: Path) -> Loaded:
    """Read every ``CollectedData_*.csv`` below ``labeled-data``, of one or several individuals.

    Raises
    ------
    InputError
        If a header is not DeepLabCut's, a row has a wrong count, or a picture is missing.
    """
    rows: Rows | None = None
    for path in sorted((folder / "labeled-data").glob("*/CollectedData_*.csv")):
        check_bytes(path)
        with parsing(path, "DeepLabCut"), path.open(encoding="utf-8-sig", newline="") as stream:
            rows = _read(path, folder, list(csv.reader(stream)), rows)
    if rows is None:
        raise InputError(
            f"{folder}: holds no labeled-data/*/CollectedData_*.csv",
            "give a DeepLabCut project, and write the csv of its h5",
        )
    return rows.loaded()


def _read(path: Path, folder: Path, lines: list[list[str]], rows: Rows | None) -> Rows:
    head = {line[0]: line for line in islice(lines, 4) if line and line[0] in HEADER}
    first = next(i for i, cell in enumerate(head["coords"]) if cell in {"x", "y"})
    parts = head["bodyparts"][first::2]
    people = head.get("individuals", [""] * len(head["coords"]))[first::2]
    names = list(dict.fromkeys(parts))
    # DeepLabCut puts points of no animal under "single"
    owners = [p for p in dict.fromkeys(people) if p != "single"]
    skeleton, order = skeleton_of(path, len(names), names)
    rows = rows or Rows(folder, skeleton)
    if rows.skeleton != skeleton:
        raise InputError(f"{path}: has other keypoints than the files before it", "read it alone")
    spots = {(o, n): i for i, (o, n) in enumerate(zip(people, parts, strict=True))}
    for number, line in enumerate(lines[len(head) :], len(head) + 1):
        if not line:
            continue
        if len(line) != len(head["coords"]):
            raise InputError(
                f"{path}, line {number}: {len(line)} cells for {len(head['coords'])} columns",
                "the file is cut short or was edited: write it again",
            )
        cells = [float(c) if c else math.nan for c in line[first:]]
        values = np.array(cells).reshape(-1, 2)
        for owner in owners:
            xy = values[[spots[owner, n] for n in names]][order]
            seen = np.where(np.isfinite(xy).all(-1), 2, 0)
            if seen.any():
                picture = path.parent / Path(*line[:first]).name
                rows.add(
                    f"{path}, line {number}, {owner or 'hand'}",
                    picture.relative_to(folder).as_posix(),
                    size_of(picture),
                    xy,
                    visibility=seen,
                    right=SIDES.get(owner, np.nan),
                    frame_id=len(rows.where),
                )
    return rows
