"""Which candidates of different views could be the same hand: distances from epipolar lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.association.candidates import CAP, COMMON, Candidates

__all__ = ["essential_matrices", "pair_support", "support_triples"]

F32 = NDArray[np.float32]

# Two candidates are compatible below this mean distance, in tolerances: an epipolar line is one of
# the two directions of an error, and both hands' own errors are a few per cent of their boxes.
PAIR = 0.5
# Rays that meet at this angle or more fix the depth; a hypothesis of less counts for less.
WIDE_SIN2 = float(np.sin(np.deg2rad(25)) ** 2)


def essential_matrices(R: F64, t: F64) -> F64:
    """E of every pair, shape (V, V, 3, 3): ``x_b' E[b, a] x_a = 0`` for the same point."""
    turn = R[:, None] @ R[None].transpose(0, 1, 3, 2)
    shift = t[:, None] - np.einsum("baij,aj->bai", turn, t)
    x, y, z = shift[..., 0], shift[..., 1], shift[..., 2]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    return np.asarray(cross @ turn)


def pair_support(cand: Candidates) -> tuple[F32, F32]:
    """How compatible all pairs of candidates are.

    Parameters
    ----------
    cand
        F frames of V views with S slots: N = V S candidates a frame.

    Returns
    -------
    support, base
        Shape (F, N, N): 1 for a perfect pair, 0 from `PAIR` on, in one view, or without `COMMON`
        common keypoints; and how well the angle of the two rays fixes the depth, 0 to 1.
    """
    frames, views, slots, k = cand.xy.shape[:4]
    n = views * slots
    E = essential_matrices(cand.R, cand.t).transpose(1, 0, 2, 3).astype(np.float32)
    seen = np.isfinite(cand.xy).all(-1)
    xh = np.concatenate([np.nan_to_num(cand.xy), np.ones_like(cand.xy[..., :1])], -1)
    xh32 = xh.astype(np.float32)
    over_tol = np.divide(1, cand.tol, where=cand.tol > 0, out=np.zeros_like(cand.tol))
    inverse = over_tol.reshape(frames, 1, n).astype(np.float32)
    total = np.zeros((frames, n, n), np.float32)
    mask = seen.reshape(frames, n, k).astype(np.float32)
    for i in range(k):
        d = _line_distance(E, np.ascontiguousarray(xh32[..., i, :]))
        d *= inverse
        np.minimum(d, CAP, out=d)
        d *= mask[:, :, None, i]
        d *= mask[:, None, :, i]
        total += d
    common = mask @ mask.transpose(0, 2, 1)
    cost = total / np.maximum(common, 1)
    cost = (cost + cost.transpose(0, 2, 1)) / 2
    view = np.repeat(np.arange(views), slots)
    usable = (common >= COMMON) & (view[:, None] != view[None])
    usable &= cand.there.reshape(frames, n)[:, :, None] & cand.there.reshape(frames, 1, n)
    support = np.where(usable, np.maximum(1 - (cost / PAIR) ** 2, 0), 0).astype(np.float32)
    return support, _base(cand, xh, mask)


def _line_distance(E: F32, x: F32) -> F32:
    """Distance of every candidate from the lines of all others, for one keypoint: (F, N, N)."""
    frames, views, slots, _ = x.shape
    n = views * slots
    line = np.matmul(x[:, :, None], E.transpose(0, 1, 3, 2))  # (F, a, b, S, 3)
    norm = np.sqrt(line[..., 0] ** 2 + line[..., 1] ** 2)
    line /= np.maximum(norm, np.float32(1e-12))[..., None]
    line = line.transpose(0, 2, 1, 3, 4).reshape(frames, views, n, 3)
    off = np.abs(line @ x.transpose(0, 1, 3, 2))  # (F, b, N, S)
    return np.asarray(off.transpose(0, 2, 1, 3).reshape(frames, n, n))


def _base(cand: Candidates, xh: F64, mask: F32) -> F32:
    """How well the rays of two candidates fix the depth of their hands, shape (F, N, N)."""
    frames, n, k = mask.shape
    weight = mask / np.maximum(mask.sum(-1, keepdims=True), 1)
    middle = np.einsum("fnk,fnki->fni", weight, xh.reshape(frames, n, k, 3))
    middle = middle.reshape(*cand.tol.shape, 3)
    ray = np.einsum("vji,fvsj->fvsi", cand.R, middle).reshape(frames, n, 3)
    ray /= np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-12)
    cos = ray @ ray.transpose(0, 2, 1)
    return np.asarray(np.minimum((1 - cos**2) / WIDE_SIN2, 1).astype(np.float32))


def support_triples(support: F32, base: F32) -> F32:
    """Rank pairs by the candidates compatible with both (cycles of three), shape (F, N, N)."""
    return np.asarray(support * base * (1 + support @ support))
