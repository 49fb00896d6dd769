"""Hands of single frames: the one that most views agree on, then the next, then all together."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.association.candidates import Candidates
from multiview.association.epipolar import F32, pair_support, support_triples
from multiview.association.hypotheses import (
    Equations,
    Found,
    equations,
    errors,
    match,
    solve_hand,
    solve_pairs,
)

__all__ = ["extract_hands", "settle", "span"]

# Pairs that propose a hand, best first: the first is nearly always right, the others insure.
PROPOSALS = 4
# Two are one hand when half of their keypoints are closer than this share of the hand's extent:
# praying hands (180 mm) are 25 mm apart, two detections of one hand a few millimetres.
SAME = 0.12
# Numbers of the largest table kept at once: what stays in a processor's cache is fastest.
CHUNK_FLOATS = 1_000_000
SETTLE_ROUNDS = 3


def extract_hands(cand: Candidates, most: int) -> Found:
    """Find the hands of every frame.

    Parameters
    ----------
    cand
        All frames.
    most
        Hands sought a frame.

    Returns
    -------
    Found
        Hands in the order of their support; every candidate belongs to one hand at most.
    """
    frames, views, slots, k = cand.xy.shape[:4]
    each = max((views * slots) ** 2 * 3, views * slots * k * 12)
    step = max(1, CHUNK_FLOATS // max(1, each))
    parts = [
        _extract_chunk(cand.take(slice(f, f + step)), most) for f in range(0, max(frames, 1), step)
    ]
    width = max(p.slot.shape[2] for p in parts)
    slot = np.full((frames, views, width), -1)
    xyz = np.full((frames, width, k, 3), np.nan)
    for f, part in zip(range(0, max(frames, 1), step), parts, strict=True):
        r = part.slot.shape[2]
        slot[f : f + step, :, :r], xyz[f : f + step, :r] = part.slot, part.xyz
    return Found(slot, xyz)


def _extract_chunk(cand: Candidates, most: int) -> Found:
    """One hand after the other, each from the candidates that the hands before it left."""
    frames, views, slots, k = cand.xy.shape[:4]
    eq, (support, base) = equations(cand), pair_support(cand)
    free, active = cand.there.copy(), np.arange(frames)
    hands = [Found(np.full((frames, views, 0), -1), np.full((frames, 0, k, 3), np.nan))]
    for _ in range(2 * most):  # every hand may have been found twice
        active = active[free[active].any((1, 2))]
        if not active.size:
            break
        score = _free_pairs(support[active], base[active], free[active])
        some = score.max((1, 2)) > 0
        active, score = active[some], score[some]
        if not active.size:
            break
        top = _best_pairs(score)
        one = _strongest(cand.take(active), eq.take(active), top, free[active])
        failed = one.votes[:, 0] < 2
        support.reshape(frames, -1)[active[failed, None], top[failed]] = 0
        slot, xyz = np.full((frames, views, 1), -1), np.full((frames, 1, k, 3), np.nan)
        slot[active], xyz[active] = one.slot, one.xyz
        free &= slot != np.arange(slots)
        fresh = ~_same(xyz[:, 0], hands)
        hands.append(Found(np.where(fresh[:, None, None], slot, -1), xyz))
        full = np.sum([(h.votes >= 2).any(1) for h in hands], axis=0) >= most
        active = active[~full[active]]
    votes = np.concatenate([h.votes for h in hands], axis=1)
    xyz = np.concatenate([h.xyz for h in hands], axis=1)
    return settle(cand, eq, np.where((votes >= 2)[..., None, None], xyz, np.nan), cand.there)


def _free_pairs(support: F32, base: F32, free: BoolArray) -> F32:
    flat = free.reshape(len(free), -1).astype(np.float32)
    return support_triples(support * flat[:, :, None] * flat[:, None, :], base)


def _best_pairs(score: F32) -> IntArray:
    """Return the `PROPOSALS` best pairs of every frame as indices into (N, N), shape (F, P)."""
    flat = np.triu(score).reshape(len(score), -1)
    best = []
    for _ in range(min(PROPOSALS, flat.shape[1])):
        best.append(flat.argmax(1))
        flat[np.arange(len(flat)), best[-1]] = -1
    return np.stack(best, axis=1)


def _strongest(cand: Candidates, eq: Equations, top: IntArray, free: BoolArray) -> Found:
    """Let the best pairs propose a hand, the views vote, and make the winner from its views."""
    n = cand.tol.shape[1] * cand.tol.shape[2]
    xyz = solve_pairs(eq, np.stack([top // n, top % n], axis=-1))
    error = np.where(free[..., None], errors(cand, xyz), np.inf).min(2)
    # many agreeing views first, then how closely they do
    vote = np.where(error < 1, 1 - np.minimum(error, 1) ** 2, 0.0).sum(1)
    winner = np.take_along_axis(xyz, vote.argmax(1)[:, None, None, None], axis=1)
    return settle(cand, eq, winner, free)


def settle(cand: Candidates, eq: Equations, xyz: F64, free: BoolArray) -> Found:
    """Give candidates to 3D hands and make the hands from them again, until nothing changes.

    Parameters
    ----------
    cand, eq
        F frames.
    xyz
        Hypotheses, shape (F, R, K, 3).
    free
        Candidates that may be given, shape (F, V, S).

    Returns
    -------
    Found
        Hands that fewer than two views carry are gone (no slot, NaN).
    """
    slot = np.full((*cand.tol.shape[:2], xyz.shape[1]), -1)
    for _ in range(SETTLE_ROUNDS):
        new = match(np.where(free[..., None], errors(cand, xyz), np.inf))
        new = np.where(((new >= 0).sum(1) >= 2)[:, None], new, -1)
        same = np.array_equal(new, slot)
        slot = new
        if same:
            break
        xyz = np.stack([solve_hand(cand, eq, slot[..., r]) for r in range(slot.shape[2])], axis=1)
    return Found(slot, xyz)


def span(xyz: F64) -> F64:
    """Largest extent of hands (..., K, 3) along an axis of the world, shape (...)."""
    seen = np.isfinite(xyz)
    low, high = np.where(seen, xyz, np.inf).min(-2), np.where(seen, xyz, -np.inf).max(-2)
    side = (high - low).max(-1)
    return np.asarray(np.where(np.isfinite(side), side, np.nan))


def _same(xyz: F64, hands: list[Found]) -> BoolArray:
    """Whether a hand (F, K, 3) is one of those found before, shape (F,)."""
    out = np.zeros(len(xyz), np.bool_)
    for other in hands[1:]:
        distance = np.linalg.norm(xyz - other.xyz[:, 0], axis=-1)
        near = np.isfinite(distance)
        close = (distance < SAME * span(other.xyz[:, 0])[:, None]).sum(-1)
        out |= (other.votes[:, 0] >= 2) & (2 * close > near.sum(-1))
    return out
