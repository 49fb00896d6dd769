"""Training samples from pseudo-labels: every label with the views and the round that made it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from multiview.core import Detections, HandSamples, Points3D, PseudoLabels, Rig
from multiview.core.samples import make_samples, pack_views
from multiview.errors import InputError

__all__ = ["samples_of"]


def samples_of(
    labels: PseudoLabels,
    points: Points3D,
    dets: Detections,
    rig: Rig,
    *,
    image_name: Callable[[str, int], str],
    session: str = "",
    subject: str = "",
) -> HandSamples:
    """Turn the kept hands of a take into samples.

    Parameters
    ----------
    labels
        What `pseudo_labels` made.
    points, dets, rig
        What it was made of: 3D, the views that carry it, times, cameras.
    image_name
        Path of a picture from its camera's name and frame number.
    session, subject
        Names of the take and of the person.

    Returns
    -------
    HandSamples
        In the order of frames, cameras, hands.

    Raises
    ------
    InputError
        If labels, points and detections are not of one take and one rig.
    """
    _check_one_take(labels, points, dets)
    rig = rig.select(labels.camera_names)
    f, v, h = np.nonzero(labels.keep.transpose(1, 0, 2))
    at = (v, f, h)
    cameras, frames = labels.camera_names, labels.frame_ids[f]
    names = [image_name(cameras[c], i) for c, i in zip(v.tolist(), frames.tolist(), strict=True)]
    # a point that no picture shows was not accepted as a label
    used = np.asarray((labels.visibility > 0).any(0), np.bool_)
    xyz = np.where(used[..., None], points.xyz_world, np.nan)
    inlier = points.inlier & used
    n = len(v)
    return make_samples(
        xy_px=labels.xy_px[at],
        visibility=labels.visibility[at],
        image=np.array(names, np.str_),
        size_wh=np.array(labels.size_wh, np.int64).reshape(-1, 2)[v],
        weight=labels.weight[at],
        sigma_px=labels.sigma_px[at],
        residual_px=np.where(labels.visibility[at] > 0, points.err_px[at], np.nan),
        right=labels.right[f, h],
        session=np.full(n, session),
        camera=np.array(cameras, np.str_)[v],
        frame_id=frames,
        time_s=dets.times[v, f],
        subject=np.full(n, subject),
        source=np.full(n, labels.source),
        round=np.full(n, labels.iteration),
        rig_digest=np.full(n, labels.rig_digest),
        xyz_world=xyz[f, h],
        lens=v,
        cameras=rig.cameras,
        inlier=pack_views(inlier.transpose(1, 2, 3, 0))[f, h],
        views={labels.rig_digest: cameras},
        skeleton=labels.skeleton,
        unit=points.unit,
    )


def _check_one_take(labels: PseudoLabels, points: Points3D, dets: Detections) -> None:
    frames = [x.frame_ids for x in (labels, points, dets)]
    names = {x.camera_names for x in (labels, points, dets)}
    same = len(names) == 1 and all(np.array_equal(frames[0], other) for other in frames)
    if not same or labels.rig_digest != points.rig_digest:
        raise InputError(
            "labels, 3D points and detections differ in cameras, frames or rig",
            "give the folders of label, triangulate and detect of one take",
        )
