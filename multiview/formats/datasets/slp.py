"""SLEAP: ``<split>.slp`` beside ``images/``, through sleap-io (extra ``sleap``).

A video of pictures for every session and camera; hands are instances on the tracks ``left`` and
``right``. Pixels as here (the centre of the top-left one is (0, 0)). sleap-io looks for pictures
from where the program runs: open the file from the dataset's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.atomic import replacing
from multiview.formats.datasets.coco import SIDES, sides
from multiview.formats.datasets.pictures import Pictures, picture_names, size_of
from multiview.formats.datasets.rows import Loaded, Rows, split_of, splits_of
from multiview.formats.foreign import check_bytes, parsing
from multiview.formats.keypoint_names import skeleton_of

__all__ = ["read_slp", "write_slp"]


def _sleap_io(path: Path) -> Any:
    try:
        import sleap_io
    except ImportError:
        raise InputError(
            f"{path}: .slp files need sleap-io", 'pip install "multiview-bootstrapping[sleap]"'
        ) from None
    return sleap_io


def write_slp(samples: HandSamples, folder: Path, pictures: Pictures) -> None:
    """Write a file a split and link the pictures."""
    sio = _sleap_io(folder)
    names = [f"images/{name}" for name in picture_names(samples)]
    for image, name in zip(samples.image.tolist(), names, strict=True):
        pictures.place(image, folder / name)
    for split in splits_of(samples):
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        labels = _labels(sio, samples, numbers, names)
        with replacing(folder / f"{split}.slp") as temporary:
            sio.save_slp(labels, str(temporary), embed=False)


def _labels(sio: Any, samples: HandSamples, numbers: list[int], names: list[str]) -> Any:
    s = samples.skeleton
    bones = [(s.keypoints[a], s.keypoints[b]) for a, b in s.edges]
    skeleton = sio.Skeleton(nodes=list(s.keypoints), edges=bones, name=s.name)
    tracks = {side: sio.Track(side) for side in SIDES}
    hands = sides(samples)
    folders: dict[str, dict[str, list[Any]]] = {}
    sizes: dict[str, list[int]] = {}
    for n in numbers:
        place = names[n].rpartition("/")[0]
        instance = sio.Instance.from_numpy(
            np.array(samples.xy_px[n]), skeleton=skeleton, track=tracks.get(hands[n])
        )
        folders.setdefault(place, {}).setdefault(names[n], []).append(instance)
        sizes[place] = samples.size_wh[n].tolist()
    videos, frames = [], []
    for place, shots in folders.items():
        video = _video(sio, list(shots), sizes[place])
        videos.append(video)
        frames += [
            sio.LabeledFrame(video=video, frame_idx=i, instances=instances)
            for i, instances in enumerate(shots.values())
        ]
    return sio.Labels(
        labeled_frames=frames, videos=videos, skeletons=[skeleton], tracks=list(tracks.values())
    )


def _video(sio: Any, files: list[str], size_wh: list[int]) -> Any:
    """Describe a video of pictures without opening them."""
    width, height = size_wh
    about = {
        "type": "ImageVideo",
        "shape": [len(files), height, width, 3],
        "filename": files[0],
        "filenames": files,
        "height_": height,
        "width_": width,
        "channels_": 3,
        "grayscale": False,
    }
    return sio.Video(filename=files, backend_metadata=about, open_backend=False)


def read_slp(folder: Path) -> Loaded:
    """Read the hands that are labelled (not predicted) in every ``.slp`` of a folder, or in one.

    Raises
    ------
    InputError
        If sleap-io is missing, a file is damaged, holds predictions only, or labels a video.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.slp"))
    rows: Rows | None = None
    for path in paths:
        check_bytes(path)
        sio = _sleap_io(path)
        try:
            labels = sio.load_slp(str(path), open_videos=False)
        except Exception as error:  # whatever a damaged file makes the library raise
            raise InputError(
                f"{path}: sleap-io cannot read it ({error!s:.160})", "write it again"
            ) from None
        with parsing(path, "SLEAP"):
            rows = _read(path, labels, rows)
    if rows is None:
        raise InputError(f"{folder}: holds no .slp", "give the folder of a SLEAP file")
    return rows.loaded()


def _read(path: Path, labels: Any, rows: Rows | None) -> Rows:
    nodes = labels.skeletons[0]
    edges = tuple((int(a), int(b)) for a, b in nodes.edge_inds)
    names = tuple(nodes.node_names)
    skeleton, order = skeleton_of(path, len(names), names, edges)
    rows = rows or Rows(path.parent, skeleton)
    if rows.skeleton != skeleton:
        raise InputError(f"{path}: has other keypoints than the files before it", "read it alone")
    for number, frame in enumerate(labels.labeled_frames):
        files, index = frame.video.filename, int(frame.frame_idx)
        if not isinstance(files, list):
            raise InputError(
                f"{path}: labels the video {files}, not pictures",
                "export the labelled frames as pictures",
            )
        image = Path(str(files[index])).as_posix()
        for n, instance in enumerate(frame.user_instances):
            xy = np.asarray(instance.numpy(), np.float64)[order]
            seen = np.where(np.isfinite(xy).all(-1), 2, 0)
            if seen.any():
                rows.add(
                    f"{path}: labeled_frames[{number}], instance {n}",
                    image,
                    size_of(path.parent / image),
                    xy,
                    visibility=seen,
                    right=SIDES.get(instance.track.name if instance.track else "", np.nan),
                    split=split_of(path.stem),
                    frame_id=index,
                )
    return rows
