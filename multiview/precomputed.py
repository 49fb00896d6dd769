"""2D detections that another program already made, in step with a capture.

A room of its own beside `multiview.detection`: models may not import formats, and formats know no
captures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiview._image_folder import FolderSource
from multiview._shapes import F64
from multiview.capture import Capture
from multiview.core import HAND_21, HAND_SLOTS, Detections, Skeleton
from multiview.errors import InputError
from multiview.formats.caliscope import read_holistic_csv
from multiview.formats.coco_results import read_coco_results
from multiview.formats.deeplabcut import read_deeplabcut
from multiview.formats.detections_parquet import read_detections
from multiview.formats.guess import Source, camera_of, find_sources, guess_format
from multiview.formats.keypoint_names import KeypointChoice, skeleton_of
from multiview.formats.keypoint_table import KeypointFormat, KeypointTable, check_pixels
from multiview.formats.keypoints_csv import read_keypoints_csv, read_mediapipe_csv
from multiview.formats.mediapipe_json import read_mediapipe
from multiview.formats.openpose_json import read_openpose
from multiview.formats.sleap import read_sleap

__all__ = ["read_precomputed"]

IntArray = NDArray[np.int64]

# float64 and two coordinates: what a result may take before anything is allocated, 4 GB.
MAX_POINTS = 1 << 28


def read_precomputed(
    path: str | Path,
    *,
    format: KeypointFormat | None = None,
    capture: Capture | None = None,
    size_wh: tuple[int, int] | None = None,
    images: str | Path | None = None,
    max_hands: int = 2,
    keypoints: KeypointChoice = "auto",
    trust_labels: bool | None = None,
) -> Detections:
    """Read 2D keypoints of another program (docs/formats.md has the layouts).

    Parameters
    ----------
    path
        A file of all cameras or one; or a folder with a file or folder a camera, whose name is or
        holds the camera's name.
    format
        Found by content if not given.
    capture
        The take: its cameras are matched by name, its frames by their number in the camera's own
        video (so that frames which synchronisation dropped shift nothing) or by picture names.
        Without it, frames stay as numbered, all cameras count as in step, and times are NaN.
    size_wh
        Picture size [px] for sources that need and do not state one (MediaPipe), without capture.
    images
        COCO file whose image numbers COCO results use.
    max_hands
        Hands kept a picture, those with most confidence.
    keypoints
        ``"own"`` keeps the file's keypoint names and order even where they are of a hand.
    trust_labels
        Take the source's left and right, or its tracks' names, as the same thing in every camera
        (``hands`` is set). Otherwise they are opinions that association weighs. By default trusted
        for skeletons other than the hand, whose individuals nothing else tells apart.

    Raises
    ------
    InputError
        Naming the camera, file and line of what is wrong.
    """
    path = Path(path)
    kind = format or guess_format(path)
    if max_hands < 1:
        raise InputError(f"max_hands is {max_hands}", "give 1 or more")
    if kind in ("caliscope", "multiview"):
        return _finished(path, kind, capture, bool(trust_labels))
    named = _by_camera(path, kind, capture, size_wh, Path(images) if images else None)
    return _aligned(path, kind, capture, named, max_hands, keypoints, trust_labels)


def _aligned(
    path: Path,
    kind: KeypointFormat,
    capture: Capture | None,
    named: dict[str, KeypointTable],
    max_hands: int,
    keypoints: KeypointChoice,
    trust_labels: bool | None,
) -> Detections:
    """Bring the cameras' tables to one skeleton and one time line."""
    names = capture.names if capture else tuple(named)
    tables = [named[n] for n in names]
    sizes = capture.sizes_wh if capture else tuple(t.size_wh for t in tables)
    for name, table, size in zip(names, tables, sizes, strict=True):
        check_pixels(name, table, size)
    skeleton, orders = _skeleton(tables, keypoints)
    ids, places = _in_step(names, tables, capture)
    trusted = skeleton is not HAND_21 if trust_labels is None else trust_labels
    labels, slots = _labels(tables, must=bool(trust_labels)) if trusted else ((), None)
    shape = (len(names), len(ids), len(labels) or max_hands, len(skeleton.keypoints))
    if np.prod(np.array(shape, np.float64)) > MAX_POINTS:
        raise InputError(f"{path}: {shape} cameras, frames, hands, keypoints", "split the take")
    xy, conf, right = _fill(tables, orders, places, slots, shape)
    return Detections(
        xy_px=xy,
        conf=conf,
        camera_names=names,
        frame_ids=ids,
        times=capture.times if capture else np.full(shape[:2], np.nan),
        skeleton=skeleton,
        source=f"{kind} ({path.name})",
        right=right,
        hands=labels,
        size_wh=tuple(s for s in sizes if s) if all(sizes) else (),
    )


def _fill(
    tables: Sequence[KeypointTable],
    orders: Sequence[IntArray],
    places: Sequence[IntArray],
    slots: Sequence[IntArray] | None,
    shape: tuple[int, int, int, int],
) -> tuple[F64, F64, F64]:
    """Put every table's rows in place: xy_px (V, F, H, K, 2), conf and right."""
    xy, conf, right = np.full((*shape, 2), np.nan), np.zeros(shape), np.full(shape[:3], np.nan)
    for v, (table, order) in enumerate(zip(tables, orders, strict=True)):
        n, f, h = _kept(table, places[v], slots[v] if slots else None, shape[2])
        k = np.flatnonzero(order >= 0)
        at = (v, f[:, None], h[:, None], k)
        xy[at], conf[at] = table.xy_px[n][:, order[k]], table.conf[n][:, order[k]]
        right[v, f, h] = _right(table)[n]
    return xy, conf, right


def _finished(
    path: Path, kind: KeypointFormat, capture: Capture | None, trust_labels: bool
) -> Detections:
    """Read tables whose frames are already paired: ours, and caliscope's and pyxy3d's."""
    sources = find_sources(path, kind)
    if len(sources) > 1:
        raise InputError(f"{path}: holds {len(sources)} tables", "give one of them")
    if kind == "caliscope":
        if capture:
            raise InputError(
                f"{path}: its frames are paired by caliscope's sync_index, not by this capture",
                "read it without the capture: multiview convert PATH --out dets.parquet",
            )
        return read_holistic_csv(sources[0].path, trust_sides=trust_labels)
    dets = read_detections(sources[0].path)
    if capture and (
        dets.camera_names != capture.names or not np.array_equal(dets.frame_ids, capture.frame_ids)
    ):
        raise InputError(
            f"{path}: has {len(dets.frame_ids)} frame sets of {', '.join(dets.camera_names)}; the "
            f"capture {len(capture.frame_ids)} of {', '.join(capture.names)}",
            "it was made from another take, or with other --input options",
        )
    return dets


def _read(
    kind: KeypointFormat, path: Path, size_wh: tuple[int, int] | None, images: Path | None
) -> list[KeypointTable]:
    if kind == "mediapipe":
        by_row = path.suffix.lower() == ".csv"
        return read_mediapipe_csv(path, size_wh) if by_row else read_mediapipe(path, size_wh)
    if kind == "coco":
        return read_coco_results(path, images)
    plain = {
        "openpose": read_openpose,
        "deeplabcut": read_deeplabcut,
        "sleap": read_sleap,
        "csv": read_keypoints_csv,
    }
    return plain[kind](path)


def _by_camera(
    path: Path,
    kind: KeypointFormat,
    capture: Capture | None,
    size_wh: tuple[int, int] | None,
    images: Path | None,
) -> dict[str, KeypointTable]:
    """Read every source and find whose it is; one table for each camera of the capture."""
    sources = find_sources(path, kind)
    cameras = capture.names if capture else ()
    found: dict[str, KeypointTable] = {}
    for source, label in zip(sources, _distinct_labels(sources), strict=True):
        alone = cameras[0] if len(cameras) == len(sources) == 1 else None
        near = camera_of(source.names, cameras) or alone
        size = capture.sizes_wh[cameras.index(near)] if capture and near else size_wh
        tables = _read(kind, source.path, size, images)
        for table in tables:
            own = [table.camera] if table.camera else []
            words = own if len(tables) > 1 or (own and kind in ("csv", "coco")) else [label]
            name = words[0] if words else label
            if capture:
                words = own if len(tables) > 1 else [*own, *source.names]
                name = _camera(table, words, cameras, alone if len(tables) == 1 else None)
            if name in found:
                raise InputError(
                    f"camera {name}: {found[name].path} and {table.path} both are of it",
                    "keep one, or name files and folders after their cameras",
                )
            found[name] = table
    absent = [n for n in cameras if n not in found]
    if absent:
        raise InputError(
            f"camera {', '.join(absent)}: {path} holds nothing of it ({len(found)} other cameras)",
            "name files or folders after the cameras, or list only the others in capture.yaml",
        )
    return found


def _camera(
    table: KeypointTable, words: Sequence[str], cameras: Sequence[str], alone: str | None
) -> str:
    name = camera_of(words, cameras) or alone
    if name is None:
        raise InputError(
            f"{table.path}: {' / '.join(words)} is no camera of the capture, which has "
            f"{', '.join(cameras)}",
            "name the file, folder or camera column after the camera",
        )
    return name


def _distinct_labels(sources: Sequence[Source]) -> list[str]:
    """Name of each source; folders' names where files are all called the same."""
    depth = max(len(s.names) for s in sources)
    for level in range(depth):
        labels = [s.label(level) for s in sources]
        if len(set(labels)) == len(labels):
            return labels
    raise InputError(
        f"{sources[0].path}: files of several cameras have one name", "name them after cameras"
    )


def _skeleton(
    tables: Sequence[KeypointTable], choice: KeypointChoice
) -> tuple[Skeleton, list[IntArray]]:
    """Skeleton of all cameras, and where each table has its keypoints (-1: it lacks one)."""
    head = tables[0]
    unlike = next((t for t in tables if bool(t.names) != bool(head.names)), None)
    counts = {t.xy_px.shape[1] for t in tables}
    if unlike or (not head.names and len(counts) > 1):
        other = unlike or tables[-1]
        raise InputError(
            f"{other.path}: has other keypoints than {head.path}", "use one model for all cameras"
        )
    union = list(dict.fromkeys(name for t in tables for name in t.names))
    edges = {(t.names[a], t.names[b]): None for t in tables if t.names for a, b in t.edges}
    bones = [(union.index(a), union.index(b)) for a, b in edges]
    count = len(union) or counts.pop()
    skeleton, order = skeleton_of(head.path, count, union, bones, choice)
    orders = []
    for table in tables:
        place = {n: i for i, n in enumerate(table.names)}
        orders.append([place.get(union[i], -1) if union else i for i in order])
    return skeleton, [np.array(o, np.int64) for o in orders]


def _in_step(
    names: Sequence[str], tables: Sequence[KeypointTable], capture: Capture | None
) -> tuple[IntArray, list[IntArray]]:
    """Frame ids, and each row's place on axis F (-1: its frame is in no set)."""
    if capture is None:
        ids = np.unique(np.concatenate([t.searched for t in tables]))
        if not len(ids):
            raise InputError(f"{tables[0].path}: holds no frame", "write it again")
        return ids, [np.searchsorted(ids, t.frame) for t in tables]
    places = []
    for v, (name, table) in enumerate(zip(names, tables, strict=True)):
        count = len(capture.sources[v].times)
        number = _own_numbers(name, table, capture, v)
        late = np.flatnonzero((number < 0) | (number >= count))
        if late.size:
            raise InputError(
                f"camera {name}: {table.path} has frame {number[late[0]]}, its video or folder has "
                f"{count} (0 to {count - 1})",
                "check that it belongs to this take and counts its frames from 0",
            )
        place = np.full(count, -1, np.int64)
        used = np.flatnonzero(capture.index[v] >= 0)
        place[capture.index[v, used]] = used
        row = {int(f): int(p) for f, p in zip(table.searched, place[number], strict=True)}
        places.append(np.array([row[f] for f in table.frame.tolist()], np.int64))
    return capture.frame_ids, places


def _own_numbers(name: str, table: KeypointTable, capture: Capture, v: int) -> IntArray:
    """Find every searched frame's number in the camera's own source, by picture names if it can."""
    source = capture.sources[v]
    if not table.pictures or not isinstance(source, FolderSource):
        return table.searched
    number = {p.stem: n for n, p in enumerate(source.files)}
    known = [number.get(stem, -1) for stem in table.pictures]
    if max(known) < 0:  # other names altogether: made from a video of these pictures
        return table.searched
    if min(known) < 0:
        stem = table.pictures[known.index(-1)]
        raise InputError(
            f"camera {name}: {table.path} has a picture {stem!r} that {source.path} lacks",
            "check that it belongs to this take",
        )
    return np.array(known, np.int64)


def _right(table: KeypointTable) -> F64:
    """Probability of a right hand; tracks called left and right say so too."""
    if not table.slots:
        return table.right
    words = [n.casefold().partition("-")[0] for n in table.slots]  # "left-2": one of several
    side = [{"left": 0.0, "right": 1.0}.get(word, np.nan) for word in words]
    named = np.array(side)[table.slot]
    return np.where(np.isnan(table.right), named, table.right)


def _one_a_side(table: KeypointTable) -> bool:
    """Whether no picture has two left or two right hands."""
    sides = np.stack([table.frame, _right(table) > 0.5])
    return bool(np.unique(sides, axis=1).shape[1] == sides.shape[1])


def _labels(
    tables: Sequence[KeypointTable], must: bool
) -> tuple[tuple[str, ...], list[IntArray] | None]:
    """Labels of axis H that mean the same in every camera, and each row's; none if there are none.

    Raises
    ------
    InputError
        If the user asked for them.
    """
    named = all(t.slots for t in tables) and not all(_one_a_side(t) for t in tables)
    if all(np.isfinite(_right(t)).all() for t in tables) and not named:
        return HAND_SLOTS, [(_right(t) > 0.5).astype(np.int64) for t in tables]
    if all(t.slots for t in tables):
        labels = tuple(dict.fromkeys(n for t in tables for n in t.slots))
        return labels, [
            np.array([labels.index(n) for n in t.slots], np.int64)[t.slot] for t in tables
        ]
    if all(len(np.unique(t.frame)) == len(t.frame) for t in tables):
        return ("1",), [np.zeros(len(t.frame), np.int64) for t in tables]
    if must:
        raise InputError(
            f"{tables[0].path}: says neither left and right nor gives tracks a name",
            "leave --trust-labels out: association finds which hand is which",
        )
    return (), None


def _kept(
    table: KeypointTable, place: IntArray, slot: IntArray | None, hands: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Rows that are kept, their places on axis F and slots on axis H.

    Without labels the slots are the picture's hands, most confident first; with labels the most
    confident of each label.
    """
    rows = np.flatnonzero(place >= 0)
    key = place[rows] if slot is None else place[rows] * hands + slot[rows]
    order = np.lexsort((-table.conf[rows].mean(-1), key))
    rows, key = rows[order], key[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    rank = np.arange(len(key)) - np.repeat(first, np.diff(np.r_[first, len(key)]))
    keep = rank < (hands if slot is None else 1)
    rows = rows[keep]
    return rows, place[rows], rank[keep] if slot is None else slot[rows]
