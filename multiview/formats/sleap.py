"""SLEAP: ``.slp`` projects and predictions (through sleap-io), and its analysis ``.h5``.

Names, bones and tracks are the file's; the score of a point is its confidence, points placed by
hand have 1. Coordinates have the centre of the top-left pixel at (0, 0); sleap-io moves those of
files from before that convention (format below 1.1). Analysis files carry no such mark and are read
as they are.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from multiview._shapes import present
from multiview.errors import InputError
from multiview.formats.foreign import check_bytes, hdf5, hdf5_array, parsing
from multiview.formats.keypoint_table import (
    Hand,
    KeypointTable,
    check_frames,
    frames_of_pictures,
    table_of,
)

__all__ = ["read_sleap"]

ANALYSIS = {"tracks": ("track", "xy", "node", "frame"), "point_scores": ("track", "node", "frame")}


def read_sleap(path: Path) -> list[KeypointTable]:
    """Read one file: a table for each of its videos.

    Raises
    ------
    InputError
        If sleap-io (for ``.slp``) or h5py (for ``.h5``) is not installed, the file is damaged or
        not SLEAP's, or its videos have unlike skeletons.
    """
    if path.suffix.lower() == ".slp":
        return _read_slp(path)
    with parsing(path, "SLEAP"), hdf5(path) as file:
        return [_read_analysis(path, file)]


def _read_slp(path: Path) -> list[KeypointTable]:
    check_bytes(path)
    try:
        import sleap_io
    except ImportError:
        raise InputError(
            f"{path}: reading .slp needs sleap-io",
            'pip install "multiview-bootstrapping[sleap]", or export an analysis h5 from SLEAP',
        ) from None
    try:
        labels = sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # whatever a damaged file makes the library raise
        raise InputError(
            f"{path}: sleap-io cannot read it ({error!s:.160})", "open it in SLEAP and save again"
        ) from None
    with parsing(path, "SLEAP"):
        return [_video(path, labels, video) for video in labels.videos]


def _video(path: Path, labels: Any, video: Any) -> KeypointTable:
    frames = [f for f in labels.labeled_frames if f.video is video]
    tracks = list(labels.tracks)
    skeletons = list({id(i.skeleton): i.skeleton for f in frames for i in f.instances}.values())
    skeletons = skeletons or [labels.skeletons[0]]
    names = list(skeletons[0].node_names)
    if any(list(s.node_names) != names for s in skeletons):
        raise InputError(f"{path}: has unlike skeletons", "save one skeleton a file")
    origin = video.source_video or video
    files = origin.filename
    stems = [_stem(f) for f in files] if isinstance(files, list) else []
    numbers = frames_of_pictures(stems) if stems else None
    hands, searched, pictures = [], [], []
    for frame in frames:
        index = int(frame.frame_idx)
        number = numbers[index] if numbers else index
        searched.append(number)
        pictures += [stems[index]] if stems else []
        hands += _instances(frame, number, tracks)
    tracked = all(h.slot < len(tracks) for h in hands)
    return table_of(
        path,
        hands,
        len(names),
        searched,
        pictures=tuple(pictures),
        camera="" if stems else _stem(files),
        names=tuple(names),
        edges=tuple((int(a), int(b)) for a, b in skeletons[0].edge_inds),
        slots=tuple(t.name for t in tracks) if tracks and tracked else (),
    )


def _stem(name: Any) -> str:
    return PurePosixPath(PureWindowsPath(str(name)).as_posix()).stem


def _instances(frame: Any, number: int, tracks: list[Any]) -> list[Hand]:
    """One hand an instance; a corrected one replaces the prediction it was made from."""
    user = list(frame.user_instances)
    replaced = {id(i.from_predicted) for i in user}
    held = {id(i.track) for i in user if i.track is not None}
    kept = user + [
        i for i in frame.predicted_instances if id(i) not in replaced and id(i.track) not in held
    ]
    hands = []
    for n, instance in enumerate(kept):
        xy = np.asarray(instance.numpy(), np.float64)
        if instance in user:
            conf = np.ones(len(xy))
        else:
            conf = np.asarray(instance.numpy(scores=True), np.float64)[:, -1]
        slot = tracks.index(instance.track) if instance.track in tracks else len(tracks) + n
        if present(xy).any():
            where = f"frame {int(frame.frame_idx)}, instance {n}"
            hands.append(Hand(number, slot, xy, conf, float("nan"), where))
    return hands


def _read_analysis(path: Path, file: Any) -> KeypointTable:
    names = tuple(n.decode() for n in hdf5_array(file, "node_names").tolist())
    tracks = _ordered(file, "tracks", len(names))
    count, _, k, frames = tracks.shape
    scores = np.ones((count, k, frames))
    if "point_scores" in file:
        scores = _ordered(file, "point_scores", len(names))
    labels = [n.decode() for n in hdf5_array(file, "track_names").tolist()]
    edges = hdf5_array(file, "edge_inds").reshape(-1, 2).tolist() if "edge_inds" in file else []
    video = hdf5_array(file, "video_path") if "video_path" in file else b""
    xy = np.asarray(tracks, np.float64).transpose(3, 0, 2, 1)
    conf = np.asarray(scores, np.float64).transpose(2, 0, 1)
    f, slot = np.nonzero(present(xy).any(-1))
    check_frames(path, [frames])
    conf = conf[f, slot]
    # points placed by hand have no score
    conf = np.where(np.isnan(conf), 1.0, conf)
    return KeypointTable(
        path=path,
        frame=f.astype(np.int64),
        slot=slot.astype(np.int64),
        xy_px=xy[f, slot],
        conf=conf,
        right=np.full(len(f), np.nan),
        where=tuple(f"frame {n}, track {s}" for n, s in np.stack([f, slot], -1).tolist()),
        searched=np.arange(frames),
        camera=_stem(video.decode() if isinstance(video, bytes) else video),
        names=names,
        edges=tuple((int(a), int(b)) for a, b in edges),
        slots=tuple(labels) if len(labels) == count else (),
    )


def _ordered(file: Any, name: str, nodes: int) -> Any:
    """Read an array with its axes as `ANALYSIS` says; some writers reverse them."""
    array, wanted = hdf5_array(file, name), ANALYSIS[name]
    dims = file[name].attrs.get("dims")
    if dims is not None:
        return array.transpose([list(json.loads(dims)).index(axis) for axis in wanted])
    reverse = array.transpose()
    fits = [a for a in (array, reverse) if a.ndim == len(wanted) and a.shape[-2] == nodes]
    fits = [a for a in fits if name != "tracks" or a.shape[1] == 2]
    return fits[0]
