"""Bones of a take: their lengths, how constant they are, and the pull towards them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.core import Skeleton

__all__ = ["Bones", "add_bones", "bone_vectors", "measure_bones", "robust_sd"]

# Frames that tell of a bone at least: below, its spread is not known.
LEAST_FRAMES = 20
# Degrees of freedom of the spread: lengths that are far off (a wrong point) hardly pull.
FREEDOM = 4.0


@dataclass(frozen=True, slots=True)
class Bones:
    """Bones whose length is known.

    Parameters
    ----------
    parent, child
        Keypoint numbers, shape (B,).
    length, variance
        Shape (B,): rig units, and squared.
    """

    parent: np.ndarray
    child: np.ndarray
    length: F64
    variance: F64


def bone_vectors(xyz: F64, skeleton: Skeleton) -> tuple[F64, F64]:
    """Lengths (F, B) and directions (F, B, 3) of the bones."""
    a, b = np.array(skeleton.edges, np.int64).reshape(-1, 2).T
    d = xyz[:, b] - xyz[:, a]
    length = np.linalg.norm(d, axis=-1)
    return length, d / np.where(length > 0, length, 1.0)[..., None]


def robust_sd(x: F64) -> float:
    """Return the standard deviation, from the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(x - np.median(x)))) if x.size else float("nan")


def measure_bones(
    xyz: F64, cov: F64, valid: BoolArray, skeleton: Skeleton, kernel: F64
) -> Bones | None:
    """Measure lengths and spreads on paths that know nothing of bones.

    A spread that the points' own errors explain counts as nothing, but not below what so many
    frames could show. A spread that is real (a detector's keypoints are not joints) lasts longer
    than the smoother looks, so its frames are no independent witnesses: it is multiplied by their
    number. So is the error of the length itself.

    Parameters
    ----------
    xyz, cov, valid
        Places (F, K, 3), covariances (F, K, 3, 3), and where they are measured (F, K).
    skeleton
        Its edges are the bones.
    kernel
        Frames that each keypoint's smoother looks over, shape (K,).
    """
    edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
    length, u = bone_vectors(xyz, skeleton)
    keep, mean, variance = [], [], []
    for i, (a, b) in enumerate(edges):
        on = valid[:, a] & valid[:, b]
        looks = float(max(kernel[a], kernel[b], 1.0))
        if on.sum() < LEAST_FRAMES:
            continue
        both, way = cov[on, a] + cov[on, b], u[on, i]
        along = np.einsum("fi,fij,fj->f", way, both, way)
        # noise across a bone makes it longer
        across = np.einsum("fii->f", both) - along
        own = length[on, i] - across / (2 * length[on, i])
        noise = float(np.median(along))
        doubt = noise * np.sqrt(2 * looks / on.sum())
        real = robust_sd(own) ** 2 - noise
        keep.append((int(a), int(b)))
        mean.append(float(np.median(own)))
        # the median's own error is the same in all frames
        shared = np.pi / 2 * noise * looks / on.sum() * looks
        variance.append(max(real * looks if real > 2 * doubt else 0.0, doubt) + shared)
    if not keep:
        return None
    parent, child = np.array(keep, np.int64).T
    return Bones(parent, child, np.array(mean), np.array(variance))


def add_bones(bones: Bones, xyz: F64, on: BoolArray, blocks: F64, right: F64) -> None:
    """Add the bones' terms to a system.

    Parameters
    ----------
    bones
        B bones.
    xyz, on
        Places (F, K, 3), and which are unknowns (F, K).
    blocks, right
        Matrix (F, K, 3, K, 3) and right side (F, K, 3) that are added to.
    """
    for a, b, length, variance in zip(
        bones.parent, bones.child, bones.length, bones.variance, strict=True
    ):
        d = xyz[:, b] - xyz[:, a]
        now = np.linalg.norm(d, axis=-1)
        use = on[:, a] & on[:, b] & (now > 0)
        u = d / np.where(use, now, 1.0)[:, None]
        off = np.where(use, now - length, 0.0)
        w = np.where(use, FREEDOM / (FREEDOM * variance + off**2), 0.0)
        pull = (w * off)[:, None] * u
        right[:, a] += pull
        right[:, b] -= pull
        H = w[:, None, None] * u[:, :, None] * u[:, None, :]
        blocks[:, a, :, a] += H
        blocks[:, b, :, b] += H
        blocks[:, a, :, b] -= H
        blocks[:, b, :, a] -= H
