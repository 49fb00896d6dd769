"""SLEAP: one ``.slp`` of predicted instances, a video a camera (through sleap-io, extra ``sleap``).

Videos are named ``<camera>.mp4`` and not opened: SLEAP asks for them when it does not find them.
Frames are those of the take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from multiview.core import Detections
from multiview.errors import InputError
from multiview.formats.atomic import replacing
from multiview.formats.exports.extras import library
from multiview.formats.rigs.lens import one_file_name

__all__ = ["write_sleap_take"]


def write_sleap_take(dets: Detections, path: Path) -> Path:
    """Write all cameras into one file; a track a hand, where hands are sorted.

    Raises
    ------
    InputError
        If sleap-io is not installed, or the picture sizes are not known.
    """
    sio = library("sleap_io", "sleap", ".slp")
    if not dets.size_wh:
        raise InputError(
            "SLEAP needs the picture size of every camera, and these detections have none",
            "export a triangulated take, or deeplabcut",
        )
    s = dets.skeleton
    bones = [(s.keypoints[a], s.keypoints[b]) for a, b in s.edges]
    skeleton = sio.Skeleton(nodes=list(s.keypoints), edges=bones, name=s.name)
    tracks = [sio.Track(name) for name in dets.hands]
    videos, frames = [], []
    for v, camera in enumerate(dets.camera_names):
        video = _video(sio, one_file_name(camera), int(dets.frame_ids[-1]) + 1, dets.size_wh[v])
        videos.append(video)
        for f in np.flatnonzero(dets.valid[v].any((-1, -2))).tolist():
            shown = [_instance(sio, dets, (v, f, h), skeleton, tracks) for h in _hands(dets, v, f)]
            at = int(dets.frame_ids[f])
            frames.append(sio.LabeledFrame(video=video, frame_idx=at, instances=shown))
    labels = sio.Labels(labeled_frames=frames, videos=videos, skeletons=[skeleton], tracks=tracks)
    with replacing(path) as temporary:
        sio.save_slp(labels, str(temporary), embed=False)
    return path


def _hands(dets: Detections, v: int, f: int) -> list[int]:
    return np.flatnonzero(dets.valid[v, f].any(-1)).tolist()


def _instance(
    sio: Any, dets: Detections, at: tuple[int, int, int], skeleton: Any, tracks: list[Any]
) -> Any:
    conf = np.array(dets.conf[at])
    return sio.PredictedInstance.from_numpy(
        np.array(dets.xy_px[at]),
        skeleton=skeleton,
        point_scores=conf,
        score=float(conf[dets.valid[at]].mean()),
        track=tracks[at[2]] if tracks else None,
    )


def _video(sio: Any, camera: str, frames: int, size_wh: tuple[int, int]) -> Any:
    """Describe a video without opening it."""
    width, height = size_wh
    about = {
        "type": "MediaVideo",
        "shape": [frames, height, width, 3],
        "filename": f"{camera}.mp4",
        "grayscale": False,
    }
    return sio.Video(filename=f"{camera}.mp4", backend_metadata=about, open_backend=False)
