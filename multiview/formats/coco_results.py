"""COCO keypoints: a full file (images and annotations), or results with the images given apart.

Results are ``[{image_id, category_id, keypoints, score}]``; their third number is the keypoint's
score where a program writes one (MMPose, RTMPose). In annotations it is the flag ``v``: 0 missing,
1 and 2 labelled, taken as confidence 1. Files whose every third number is 0, 1 or 2 are read as
flags. Whole-body results (``lefthand_kpts``, ``righthand_kpts``) give their hands. COCO keypoints
are pixel indices: the centre of the top-left pixel is (0, 0).

The camera of an image is its ``camera`` key, its folder, or what stands before the number in its
name (``cam0_000012.jpg``) if all share a folder. Its frame is its ``frame`` key or the number in
its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from multiview.errors import InputError
from multiview.formats.foreign import parsing, read_json, triples
from multiview.formats.keypoint_table import Hand, KeypointTable, frames_of_pictures, table_of

__all__ = ["is_coco", "read_coco_results"]

WHOLE_BODY = ("lefthand_kpts", "righthand_kpts")
FLAGS = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class _Image:
    """A picture that annotations point to."""

    camera: str
    stem: str
    frame: int | None
    size_wh: tuple[int, int] | None


def is_coco(data: Any) -> bool:
    """Whether JSON looks like COCO keypoints."""
    if isinstance(data, dict):
        return "images" in data and "annotations" in data
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and "image_id" in first


def read_coco_results(path: Path, images: Path | None = None) -> list[KeypointTable]:
    """Read a table a camera.

    Parameters
    ----------
    path
        Results or a full file.
    images
        A COCO file whose ``images`` the results mean; not needed if their ids are file names.

    Raises
    ------
    InputError
        If the layout is another, an annotation names an unknown image or category, or images are
        needed and absent.
    """
    data = read_json(path)
    with parsing(path, "COCO"):
        results = data if isinstance(data, list) else data["annotations"]
        if not results:
            raise InputError(f"{path}: holds no annotation", "write it again")
        names, edges = _names(path, data, results)
        listing = data if isinstance(data, dict) else read_json(images) if images else None
        places = _images(path, listing, results)
        return _tables(path, places, results, names, edges)


def _names(
    path: Path, data: Any, results: list[dict[str, Any]]
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Keypoint names and bones of the one category in use."""
    used = {r.get("category_id", 1) for r in results}
    if len(used) > 1:
        raise InputError(
            f"{path}: has {len(used)} categories ({', '.join(map(str, sorted(used)))})",
            "give one category a file",
        )
    known = data.get("categories", []) if isinstance(data, dict) else []
    category: dict[str, Any] = next((c for c in known if c["id"] in used), {})
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in category.get("skeleton", []))
    return tuple(str(n) for n in category.get("keypoints", [])), edges


def _images(path: Path, listing: Any, results: list[dict[str, Any]]) -> dict[Any, _Image]:
    if isinstance(listing, dict):
        entries = {i["id"]: i for i in listing["images"]}
        if len(entries) < len(listing["images"]):
            raise InputError(f"{path}: two images have one id", "number them")
    elif all(isinstance(r["image_id"], str) for r in results):
        entries = {r["image_id"]: {"file_name": r["image_id"]} for r in results}
    else:
        raise InputError(
            f"{path}: its image numbers mean nothing without the list of images",
            "add --images with the COCO file that the program was run on",
        )
    files = {
        n: PurePosixPath(PureWindowsPath(i["file_name"]).as_posix()) for n, i in entries.items()
    }
    one_folder = len({f.parent for f in files.values()}) == 1
    prefixes = {f.stem.rstrip("0123456789").rstrip("_-. ") for f in files.values()}
    by_prefix = one_folder and len(prefixes) > 1
    return {
        n: _Image(
            camera=str(entries[n].get("camera", "")) or _camera(file, by_prefix),
            stem=file.stem,
            frame=entries[n].get("frame"),
            size_wh=_size(entries[n]),
        )
        for n, file in files.items()
    }


def _camera(file: PurePosixPath, by_prefix: bool) -> str:
    return file.stem.rstrip("0123456789").rstrip("_-. ") if by_prefix else file.parent.name


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if "width" in image else None


def _tables(
    path: Path,
    places: dict[Any, _Image],
    results: list[dict[str, Any]],
    names: tuple[str, ...],
    edges: tuple[tuple[int, int], ...],
) -> list[KeypointTable]:
    lists = [(n, side, xyc) for n, r in enumerate(results) for side, xyc in _lists(path, n, r)]
    counts = {len(xyc) for _, _, xyc in lists}
    if len(counts) > 1 or (names and counts and counts != {len(names)}):
        raise InputError(
            f"{path}: annotations have {', '.join(map(str, sorted(counts)))} keypoints"
            + (f", their category {len(names)}" if names else ""),
            "give one kind of object a file",
        )
    flags = all(np.isin(xyc[:, 2], FLAGS).all() for _, _, xyc in lists)
    by_image: dict[Any, list[tuple[int, float, Any]]] = {}
    for n, side, xyc in lists:
        if results[n]["image_id"] not in places:
            raise InputError(
                f"{path}: annotation {n}: there is no image {results[n]['image_id']!r}",
                "give the list of images of the same run",
            )
        by_image.setdefault(results[n]["image_id"], []).append((n, side, xyc))
    cameras = list(dict.fromkeys(i.camera for i in places.values()))
    k = counts.pop() if counts else max(1, len(names))
    return [
        _table(path, camera, places, by_image, (k, flags), names=names, edges=edges)
        for camera in cameras
    ]


def _lists(path: Path, n: int, result: dict[str, Any]) -> list[tuple[float, Any]]:
    """Keypoints (K, 3) of one annotation, with the probability of a right hand."""
    where = f"{path}: annotation {n}"
    if any(key in result for key in WHOLE_BODY):
        found = [
            (float(right), triples(result[key], 21, f"{where}, {key}"))
            for right, key in enumerate(WHOLE_BODY)
            if key in result
        ]
        return [(right, xyc) for right, xyc in found if (xyc[:, 2] > 0).any()]
    if not result.get("keypoints"):
        return []
    side = str(result.get("hand")).partition("-")[0]  # "left-2" where there are several
    right = {"left": 0.0, "right": 1.0}.get(side, float("nan"))
    return [(right, triples(result["keypoints"], None, where))]


def _table(
    path: Path,
    camera: str,
    places: dict[Any, _Image],
    by_image: dict[Any, list[tuple[int, float, Any]]],
    about: tuple[int, bool],
    **more: Any,
) -> KeypointTable:
    k, flags = about
    mine = {n: i for n, i in places.items() if i.camera == camera}
    numbers = frames_of_pictures([i.stem for i in mine.values()])
    frames = [
        n if i.frame is None else int(i.frame) for n, i in zip(numbers, mine.values(), strict=True)
    ]
    if len(set(frames)) < len(frames):
        raise InputError(
            f"{path}: two images of camera {camera or '(unnamed)'} are one frame",
            "give images a camera key, or a folder a camera",
        )
    hands = []
    for image, frame in zip(mine, frames, strict=True):
        for slot, (n, right, xyc) in enumerate(by_image.get(image, [])):
            found = xyc[:, 2] > 0 if flags else (xyc != 0).any(-1)
            xy = np.where(found[:, None], xyc[:, :2], np.nan)
            conf = found.astype(float) if flags else xyc[:, 2]
            hands.append(Hand(frame, slot, xy, conf, right, f"annotation {n}"))
    by_number = any(i.frame is not None for i in mine.values())
    sizes = {i.size_wh for i in mine.values()}
    return table_of(
        path,
        hands,
        k,
        frames,
        camera=camera,
        pictures=() if by_number else tuple(i.stem for i in mine.values()),
        size_wh=sizes.pop() if len(sizes) == 1 else None,
        **more,
    )
