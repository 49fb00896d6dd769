"""What there is to see of a take, once for every viewer: cameras, hands over time, pictures.

A `Scene` holds no frames: it gives them as blocks, one after the other, so that a run of any length
opens at once. Backends (`web_page`, `film`, `rerun_log`, `open3d_window`) draw nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Camera, Detections, Points3D, Rig, Skeleton
from multiview.geometry.median import median_of

__all__ = [
    "Block",
    "Scene",
    "frame_rate",
    "frustum",
    "frustum_depth",
    "matched",
    "scene_blocks",
    "standard_deviation",
    "typical_bone",
    "upwards",
]

Image = NDArray[np.uint8]
# Frames of a block: 8 views of two hands are then about 15 MB.
BLOCK = 500
# An outlier of calibration or a camera far off must not make the frusta of all others huge.
FRUSTUM_SHARE = 0.18
DEFAULT_RATE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some consecutive frames.

    Parameters
    ----------
    start
        Position of the first on axis F of the scene.
    points
        3D points of these frames.
    dets
        Detections of the same frames and cameras, in their own order on axis H; None if unknown.
    """

    start: int
    points: Points3D
    dets: Detections | None = None

    @property
    def times(self) -> F64:
        """Seconds of each frame, shape (F,); NaN where no camera has a clock."""
        if self.dets is None:
            return np.full(len(self.points.frame_ids), np.nan)
        known = np.isfinite(self.dets.times)
        total = np.where(known, self.dets.times, 0.0).sum(0)
        return np.asarray(np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan))

    @property
    def residual_px(self) -> F64:
        """Median reprojection error of the inliers, shape (V, F); NaN where there is none."""
        p = self.points
        err = np.where(p.inlier, p.err_px, np.nan).reshape(*p.err_px.shape[:2], -1)
        return median_of(err)

    @property
    def inlier_count(self) -> IntArray:
        """Keypoints that each view carries, shape (V, F)."""
        return np.asarray(self.points.inlier.sum((2, 3)), np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A take as viewers see it.

    Parameters
    ----------
    title
        For window and page.
    rig
        The V cameras, in the order of axis V.
    skeleton, hands
        Meaning of axes K and H.
    frame_ids
        Shape (F,).
    blocks
        Opens a new pass over the frames, in order.
    pictures
        Gives (position, BGR picture) of one camera at increasing positions; None without a take.
    note
        What a viewer must know of the points, such as that they are smoothed.
    """

    title: str
    rig: Rig
    skeleton: Skeleton
    hands: tuple[str, ...]
    frame_ids: IntArray
    blocks: Callable[[], Iterator[Block]]
    pictures: Callable[[int, IntArray], Iterator[tuple[int, Image]]] | None = None
    note: str = ""


def scene_blocks(
    points: Points3D, dets: Detections | None = None, size: int = BLOCK
) -> Iterator[Block]:
    """Cut a take that is in memory into blocks."""
    from dataclasses import replace

    for start in range(0, len(points.frame_ids), size):
        at = slice(start, start + size)
        per_view = {n: getattr(points, n)[:, at] for n in ("inlier", "err_px")}
        names = ("xyz_world", "cov", "voted", "trust", "filled", "frame_ids")
        part = replace(points, **per_view, **{n: getattr(points, n)[at] for n in names})
        if dets is None:
            yield Block(start=start, points=part)
            continue
        cut = {n: getattr(dets, n)[:, at] for n in ("xy_px", "conf", "right", "times")}
        seen = replace(dets, **cut, frame_ids=dets.frame_ids[at])
        yield Block(start=start, points=part, dets=seen)


def standard_deviation(points: Points3D) -> F64:
    """Return the standard deviation of a coordinate, rms of three, shape (F, H, K), rig unit."""
    mean = np.trace(points.cov, axis1=-2, axis2=-1) / 3
    ok = np.isfinite(mean) & (mean >= 0) & points.valid
    return np.asarray(np.sqrt(np.where(ok, mean, np.nan)))


def matched(xy_px: F64, seen_px: F64) -> F64:
    """Find the detection of each reprojected hand in one picture.

    Parameters
    ----------
    xy_px
        Reprojected hands, shape (H, K, 2).
    seen_px
        Detected hands in any order, shape (D, K, 2).

    Returns
    -------
    F64
        Shape (H, K, 2): of each hand the detection with the smallest median distance, which no
        closer hand has; NaN where there is none.
    """
    out = np.full(xy_px.shape, np.nan)
    away = np.linalg.norm(xy_px[:, None] - seen_px[None], axis=-1)
    cost = np.nan_to_num(median_of(away), nan=np.inf)
    while cost.size and np.isfinite(cost.min()):
        h, d = np.unravel_index(int(np.argmin(cost)), cost.shape)
        out[h] = seen_px[d]
        cost[h], cost[:, d] = np.inf, np.inf
    return out


def frame_rate(times: F64) -> float:
    """Frames per second of a clock (F,): from its median step; 30 where it does not go on."""
    step = np.diff(times[np.isfinite(times)])
    step = step[step > 0]
    return 1 / float(np.median(step)) if step.size else DEFAULT_RATE


def frustum(camera: Camera, depth: float) -> F64:
    """Corners of a camera's view at a depth: centre, then top left, top right, bottom right, left.

    Returns
    -------
    F64
        Shape (5, 3), world. The lens's distortion is left out, so that a fisheye's is its core.
    """
    width, height = camera.intrinsics.size_wh
    K = camera.intrinsics.K
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5
    rays = np.concatenate([(corners - K[:2, 2]) / np.diag(K)[:2], np.ones((4, 1))], 1)
    cam = np.concatenate([np.zeros((1, 3)), rays * depth])
    return camera.cam_from_world.inv.apply(cam)


def frustum_depth(rig: Rig, xyz: F64) -> float:
    """Depth of all frusta: a share of the typical distance of the cameras from what they see."""
    ok = xyz.reshape(-1, 3)[np.isfinite(xyz).all(-1).ravel()]
    middle = np.median(ok, 0) if len(ok) else rig.centres_world.mean(0)
    away = np.linalg.norm(rig.centres_world - middle, axis=-1)
    return FRUSTUM_SHARE * float(np.median(away)) or FRUSTUM_SHARE


def upwards(rig: Rig) -> F64:
    """Return the direction that is up in most pictures, shape (3,); cameras' y axes point down."""
    R, _ = rig.cam_from_world
    up = -R[:, 1].sum(0)
    length = float(np.linalg.norm(up))
    return np.asarray(up / length) if length > 1e-6 else np.array([0.0, 0.0, 1.0])


def typical_bone(xyz: F64, skeleton: Skeleton) -> float:
    """Median length of the bones, or of the distances from the mean where there are no bones."""
    valid: BoolArray = np.asarray(np.isfinite(xyz).all(-1))
    if not valid.any():
        return 0.0
    if skeleton.edges:
        a, b = np.array(skeleton.edges).T
        length = np.linalg.norm(xyz[..., a, :] - xyz[..., b, :], axis=-1)
    else:
        length = np.linalg.norm(xyz - xyz[valid].mean(0), axis=-1)
    known = length[np.isfinite(length)]
    return float(np.median(known)) if known.size else 0.0
