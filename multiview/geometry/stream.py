"""Triangulation of takes of any length, block by block, in the memory of one block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import Rig
from multiview.geometry.robust import Search, TakeModel, triangulate_points

__all__ = ["PointArrays", "measure_take", "triangulate_blocks"]

# Points that the take is measured on: they tell the noise to 1 %.
SAMPLE = 4000
# Points of a block: some 100 MB of 31 views.
BLOCK = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class PointArrays:
    """Where results go: arrays in memory, or memory-mapped files (`numpy.lib.format.open_memmap`).

    Parameters
    ----------
    xyz, cov, trust
        Shapes (N, 3), (N, 3, 3) and (N,), as in `multiview.geometry.robust.RobustPoints`.
    inlier
        Shape (V, N).
    """

    xyz: F64
    cov: F64
    inlier: BoolArray
    trust: F64

    @classmethod
    def empty(cls, views: int, n: int) -> PointArrays:
        """Make room in memory."""
        return cls(
            xyz=np.empty((n, 3)),
            cov=np.empty((n, 3, 3)),
            inlier=np.empty((views, n), np.bool_),
            trust=np.empty(n),
        )


def measure_take(
    rig: Rig, xy_px: F64, conf: F64 | None, search: Search, *, group: int = 1
) -> TakeModel:
    """Measure noise and agreement on points of groups that are spread evenly over the take."""
    n = xy_px.shape[1] // group
    seen = _seen(xy_px, np.linspace(0, n - 1, min(n, 8 * SAMPLE // group)).astype(int), group)
    some = seen[np.linspace(0, len(seen) - 1, min(len(seen), max(1, SAMPLE // group))).astype(int)]
    rows = (some[:, None] * group + np.arange(group)).ravel()
    sure = conf if conf is None or conf.shape[1] == 1 else conf[:, rows]
    groups = None if group == 1 else np.arange(len(rows)) // group
    return triangulate_points(rig, xy_px[:, rows], sure, search, groups=groups).model


def _seen(xy_px: F64, some: np.ndarray, group: int) -> np.ndarray:
    """Choose the groups of which two views saw something; all if there are none."""
    first = xy_px[:, (some[:, None] * group + np.arange(group)).ravel(), 0]
    views = np.isfinite(first).reshape(len(xy_px), len(some), group).any(-1).sum(0)
    return some[views >= 2] if (views >= 2).any() else some


def triangulate_blocks(
    rig: Rig,
    xy_px: F64,
    conf: F64 | None = None,
    search: Search | None = None,
    *,
    group: int = 1,
    out: PointArrays | None = None,
    block: int = BLOCK,
) -> tuple[PointArrays, TakeModel]:
    """Triangulate a take in blocks: the same numbers for any size of the blocks.

    Parameters
    ----------
    rig
        V cameras.
    xy_px, conf
        As in `multiview.geometry.robust.triangulate_points`; may be memory-mapped.
    search
        How.
    group
        Points that follow each other and are noisy together: the keypoints of a hand in a frame.
    out
        Where to write; by default in memory.
    block
        Points read at a time, rounded to whole groups.

    Returns
    -------
    points, model
        The arrays written, and what was measured on the take first.
    """
    search, n = search or Search(), xy_px.shape[1]
    model = measure_take(rig, xy_px, conf, search, group=group)
    out = out or PointArrays.empty(len(xy_px), n)
    step = max(block // group, 1) * group
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        sure = conf if conf is None or conf.shape[1] == 1 else conf[:, part]
        groups = None if group == 1 else np.arange(part.stop - start) // group
        found = triangulate_points(rig, xy_px[:, part], sure, search, groups=groups, model=model)
        out.xyz[part], out.cov[part], out.trust[part] = found.xyz, found.cov, found.trust
        out.inlier[:, part] = found.inlier
    return out, model
