"""MediaPipe hands as people dump them to JSON, one record a picture.

MediaPipe has no file format; what is read is its result objects turned into JSON:

- legacy ``mp.solutions.hands``: ``multi_hand_landmarks`` and ``multi_handedness``;
- Tasks ``HandLandmarkerResult``: ``hand_landmarks`` (Python) or ``landmarks`` (web),
  ``handedness`` or ``handednesses``;
- Holistic: ``left_hand_landmarks``, ``right_hand_landmarks``;
- ``hands: [{landmarks, handedness}]``.

Records stand in a list, in ``{"frames": [...]}``, under frame numbers as keys, one a line
(``.jsonl``), or one a file in a folder. A record may name its ``frame`` or its picture
(``file_name``); else its place counts, from 0.

Landmarks are normalised: pixels are ``x * width``, ``y * height``, which is already the convention
with the centre of the top-left pixel at (0, 0). MediaPipe's handedness labels are those of a
mirrored picture: its "Left" is a right hand in an ordinary one. Holistic takes its sides from the
body and means them. MediaPipe has no confidence of a keypoint: 1 (the score is that of the side).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from multiview._files import visible
from multiview._shapes import F64
from multiview.errors import InputError
from multiview.formats.foreign import parsing, read_json
from multiview.formats.keypoint_table import Hand, KeypointTable, frames_of_pictures, table_of

__all__ = ["HAND_KEYS", "is_result", "pixels_of_normalised", "read_mediapipe", "right_of_label"]

HAND_KEYS = ("multi_hand_landmarks", "hand_landmarks", "landmarks", "hands")
HOLISTIC_KEYS = ("left_hand_landmarks", "right_hand_landmarks")
SIDE_KEYS = ("multi_handedness", "handedness", "handednesses")
FRAME_KEYS = ("frame", "frame_index", "frame_idx", "frame_number", "frame_id", "index")
PICTURE_KEYS = ("file_name", "filename", "file", "image_name", "image_path", "image")
WIDTH_KEYS = ("width", "image_width", "frame_width")
HEIGHT_KEYS = ("height", "image_height", "frame_height")
LIST_KEYS = ("frames", "results", "data", "images")
LABEL_KEYS = ("label", "category_name", "categoryName", "display_name")
# A landmark is a hand's length outside the picture at most; a pixel coordinate is far above.
MOST_NORMALISED = 2.0


@dataclass(frozen=True, slots=True)
class _Record:
    """One picture's result, and where it stands."""

    frame: int | None
    picture: str
    result: dict[str, Any]
    where: str


def read_mediapipe(path: Path, size_wh: tuple[int, int] | None = None) -> list[KeypointTable]:
    """Read one camera: a file, or a folder with one file a picture.

    Parameters
    ----------
    path
        ``.json``, ``.jsonl`` or a folder of ``.json``.
    size_wh
        Picture size, pixels; else the file must state ``width`` and ``height``.

    Raises
    ------
    InputError
        If the layout is none of those above, a hand has not 21 landmarks, coordinates are not
        normalised, or the size is unknown.
    """
    if path.is_dir():
        files = [p for p in visible(path) if p.suffix.lower() == ".json"]
        if not files:
            raise InputError(f"{path}: holds no .json", "give a folder of MediaPipe results")
        records = [_of_file(p) for p in files]
        stated = None
    else:
        data = read_json(path)
        with parsing(path, "MediaPipe"):
            records = list(_records(data))
        stated = _size(data)
    with parsing(path, "MediaPipe"):
        return [_table(path, records, size_wh, stated)]


def _of_file(path: Path) -> _Record:
    data = read_json(path)
    with parsing(path, "MediaPipe"):
        records = list(_records(data))
        if len(records) != 1:
            raise ValueError(f"{len(records)} pictures in a file of a folder")
    return _Record(None, path.stem, records[0].result, path.name)


def is_result(data: Any) -> bool:
    """Whether it looks like one picture's result."""
    return isinstance(data, dict) and any(k in data for k in (*HAND_KEYS, *HOLISTIC_KEYS))


def _records(data: Any) -> Iterator[_Record]:
    """Find the pictures in whatever holds them."""
    if is_result(data):
        yield _record(data, "picture 0")
    elif isinstance(data, list):
        for n, entry in enumerate(data):
            yield _record(entry, f"record {n}")
    elif isinstance(data, dict):
        inner = next((data[k] for k in LIST_KEYS if isinstance(data.get(k), list | dict)), None)
        if inner is not None:
            yield from _records(inner)
            return
        for key, entry in data.items():
            if isinstance(entry, dict):
                number = int(key) if key.isdecimal() and len(key) < 19 else None
                yield _Record(number, "" if key.isdecimal() else Path(key).stem, entry, repr(key))
    else:
        raise TypeError(f"{type(data).__name__} at the top")


def _record(entry: Any, where: str) -> _Record:
    if entry is None:  # a frame without hands, as some dumps mark it
        return _Record(None, "", {}, where)
    frame = next((entry[k] for k in FRAME_KEYS if isinstance(entry.get(k), int)), None)
    picture = next((entry[k] for k in PICTURE_KEYS if isinstance(entry.get(k), str)), "")
    return _Record(frame, Path(picture).stem, entry, where)


def _size(data: Any) -> tuple[int, int] | None:
    """Read the picture size a record or file states."""
    if not isinstance(data, dict):
        return None
    width = next((data[k] for k in WIDTH_KEYS if k in data), None)
    height = next((data[k] for k in HEIGHT_KEYS if k in data), None)
    known = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    return (int(width), int(height)) if known else None  # type: ignore[arg-type]


def _table(
    path: Path,
    records: list[_Record],
    size_wh: tuple[int, int] | None,
    stated: tuple[int, int] | None,
) -> KeypointTable:
    if not any(is_result(r.result) for r in records):
        raise KeyError(" or ".join(HAND_KEYS[:2]))
    sizes = [_size_of(path, r, size_wh, stated) for r in records]
    pictures = [r.picture for r in records]
    by_name = all(pictures) and not any(r.frame is not None for r in records)
    places = frames_of_pictures(pictures) if by_name else list(range(len(records)))
    frames = [p if r.frame is None else r.frame for p, r in zip(places, records, strict=True)]
    rows = zip(frames, records, sizes, strict=True)
    hands = [h for f, r, size in rows for h in _hands(path, f, r, size)]
    if len(set(frames)) < len(frames):
        ordered = sorted(frames)
        twice = next(b for a, b in pairwise(ordered) if a == b)
        raise InputError(f"{path}: frame {twice} was given twice", "keep one of the two")
    known = {s for s in sizes if s}
    return table_of(
        path,
        hands,
        21,
        frames,
        pictures=tuple(pictures) if by_name else (),
        size_wh=known.pop() if len(known) == 1 else None,
    )


def _size_of(
    path: Path,
    record: _Record,
    size_wh: tuple[int, int] | None,
    stated: tuple[int, int] | None,
) -> tuple[int, int] | None:
    """Size of a record's picture: the one given, its own, or the file's; None if nobody says."""
    stated = _size(record.result) or stated
    if size_wh and stated and abs(stated[0] * size_wh[1] / (stated[1] * size_wh[0]) - 1) > 0.01:
        raise InputError(
            f"{path}: {record.where}: made on a picture of {stated[0]} x {stated[1]}, these are "
            f"{size_wh[0]} x {size_wh[1]}: another shape",
            "check that it belongs to this camera and that neither was turned or cropped",
        )
    return size_wh or stated


def _hands(path: Path, frame: int, record: _Record, size: tuple[int, int] | None) -> Iterator[Hand]:
    for slot, (landmarks, right) in enumerate(_landmark_lists(record.result)):
        if size is None:
            raise InputError(
                f"{path}: MediaPipe's coordinates are shares of a picture whose size is not stated",
                "add --size-wh WIDTH HEIGHT, or give the capture",
            )
        where = f"{record.where}, hand {slot}"
        xy = pixels_of_normalised(_points(landmarks, f"{path}: {where}"), size, f"{path}: {where}")
        yield Hand(frame, slot, xy, np.isfinite(xy).all(-1).astype(float), right, where)


def _landmark_lists(result: dict[str, Any]) -> Iterator[tuple[Any, float]]:
    for right, key in enumerate(HOLISTIC_KEYS):
        if result.get(key):
            yield result[key], float(right)
    hands = next((result[k] for k in HAND_KEYS if result.get(k)), None) or []
    sides = next((result[k] for k in SIDE_KEYS if result.get(k)), None)
    if sides is not None and len(sides) != len(hands):
        raise ValueError(f"{len(hands)} hands with {len(sides)} sides")
    for n, hand in enumerate(hands):
        if isinstance(hand, dict) and "landmarks" in hand:
            own = next((hand[k] for k in (*SIDE_KEYS, *LABEL_KEYS, "hand") if k in hand), None)
            own = {"label": own, "score": hand.get("score", 1.0)} if isinstance(own, str) else own
            yield hand["landmarks"], _right(own)
        else:
            yield hand, _right(sides[n] if sides is not None else None)


def _right(side: Any) -> float:
    """Probability of a right hand from any form of a handedness."""
    if isinstance(side, dict) and "classification" in side:
        side = side["classification"]
    if isinstance(side, list):
        side = side[0] if side else None
    if side is None:
        return float("nan")
    if isinstance(side, str):
        return right_of_label(side, 1.0)
    label = next((side[k] for k in LABEL_KEYS if side.get(k)), "")
    return right_of_label(label, float(side.get("score", 1.0)))


def right_of_label(label: str, score: float) -> float:
    """Probability of a right hand, from MediaPipe's label of a mirrored picture and its score.

    Raises
    ------
    ValueError
        If the label is neither left nor right, or the score no probability.
    """
    first = str(label).strip().casefold()[:1]
    if first not in {"l", "r"} or not 0 <= score <= 1.001:
        raise ValueError(f"handedness {label!r} with score {score}")
    return min(score, 1.0) if first == "l" else 1 - min(score, 1.0)


def _points(landmarks: Any, where: str) -> F64:
    """Normalised x, y of one hand, shape (21, 2)."""
    if isinstance(landmarks, dict):
        landmarks = landmarks.get("landmark", landmarks.get("landmarks"))
    points = [(p["x"], p["y"]) if isinstance(p, dict) else (p[0], p[1]) for p in landmarks]
    xy = np.array(points, np.float64).reshape(-1, 2)
    if len(xy) != 21:
        raise InputError(f"{where}: {len(xy)} landmarks, a hand has 21", "check what wrote it")
    return xy


def pixels_of_normalised(xy: F64, size_wh: tuple[int, int], where: str) -> F64:
    """Turn shares of the picture (..., 2) into pixels.

    Raises
    ------
    InputError
        If they are no shares.
    """
    if (np.abs(xy) > MOST_NORMALISED).any():
        raise InputError(
            f"{where}: coordinate {xy[np.abs(xy) > MOST_NORMALISED].flat[0]:g} is not normalised",
            "MediaPipe writes shares of the picture from 0 to 1; pixels can be given as csv",
        )
    return np.asarray(xy * np.array(size_wh, np.float64))
