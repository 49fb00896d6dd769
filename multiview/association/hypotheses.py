"""3D hands as hypotheses: made from views, compared with all candidates, made again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.association.candidates import CAP, COMMON, Candidates
from multiview.geometry.dlt import solve3

__all__ = ["Equations", "Found", "equations", "errors", "match", "solve_hand", "solve_pairs"]

# Fits of one set of views, each with weights by the residuals of the one before.
WEIGHINGS = 2
# A keypoint that strays by a quarter of the tolerance counts a quarter, by a whole one nothing.
STRAY = 16.0
# The upper triangle of a symmetric matrix, and where each entry of the matrix lies in it.
UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
SQUARE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


@dataclass(frozen=True, slots=True)
class Equations:
    """Normal equations of every keypoint of every candidate; zero where missing."""

    table: F64  # (F, V, S, K, 9): the upper triangle of A, then b
    seen: BoolArray  # (F, V, S, K)

    def take(self, frames: IntArray) -> Equations:
        """Return those of some frames."""
        return Equations(self.table[frames], self.seen[frames])


@dataclass(frozen=True, slots=True)
class Found:
    """R hands a frame: the candidate of each view (-1: none), and the 3D they make."""

    slot: IntArray  # (F, V, R)
    xyz: F64  # (F, R, K, 3)

    def without(self, hands: BoolArray) -> Found:
        """Leave some hands (F, R) out."""
        return Found(
            np.where(hands[:, None], -1, self.slot),
            np.where(hands[..., None, None], np.nan, self.xyz),
        )

    @property
    def votes(self) -> IntArray:
        """Views that carry each hand, shape (F, R)."""
        return np.asarray((self.slot >= 0).sum(1))


def equations(cand: Candidates) -> Equations:
    """Write ``a . X = b`` of both coordinates: ``a = x r3 - r1``, ``b = t1 - x t3``."""
    R, t = cand.R[:, None, None], cand.t[:, None, None]
    seen = present(cand.xy)
    xy = np.where(seen[..., None], cand.xy, 0.0)
    a = xy[..., None] * R[..., 2:, :] - R[..., :2, :]
    b = t[..., :2] - xy * t[..., 2:]
    a = np.where(seen[..., None, None], a, 0.0)
    table = np.empty((*seen.shape, 9))
    for n, (i, j) in enumerate(UPPER):
        table[..., n] = a[..., 0, i] * a[..., 0, j] + a[..., 1, i] * a[..., 1, j]
    for i in range(3):
        table[..., 6 + i] = a[..., 0, i] * b[..., 0] + a[..., 1, i] * b[..., 1]
    return Equations(table, seen)


def errors(cand: Candidates, xyz: F64) -> F64:
    """Mean error of hypotheses against every candidate, in its tolerances.

    Parameters
    ----------
    cand
        F frames.
    xyz
        Q hypotheses a frame, shape (F, Q, K, 3).

    Returns
    -------
    F64
        Shape (F, V, S, Q): keypoints count at most `CAP`; infinite without `COMMON` common ones.
    """
    cam = _in_cameras(cand, xyz)
    seen = cam[..., :2] / cam[..., 2:]
    out = np.empty((*cand.tol.shape, xyz.shape[1]))
    tol = np.where(cand.tol > 0, cand.tol, np.nan)
    for s in range(cand.tol.shape[2]):
        dx = seen - cand.xy[:, :, s, None]
        d = np.sqrt(dx[..., 0] ** 2 + dx[..., 1] ** 2) / tol[:, :, s, None, None]
        common = np.isfinite(d)
        count = common.sum(-1)
        total = np.where(common, np.minimum(d, CAP), 0.0).sum(-1)
        out[:, :, s] = np.where(count >= COMMON, total / np.maximum(count, 1), np.inf)
    return out


def solve_pairs(eq: Equations, pairs: IntArray) -> F64:
    """Triangulate hands from two candidates each.

    Parameters
    ----------
    eq
        F frames of N = V S candidates.
    pairs
        Two candidates of each of P hands, shape (F, P, 2).

    Returns
    -------
    F64
        Shape (F, P, K, 3).
    """
    frames, views, slots, k = eq.seen.shape
    f = np.arange(frames)[:, None, None]
    both = np.asarray(eq.seen.reshape(frames, views * slots, k)[f, pairs].all(2))
    total = eq.table.reshape(frames, views * slots, k, 9)[f, pairs].sum(2)
    return _solved(np.where(both[..., None], total, np.nan))


def _solved(table: F64) -> F64:
    """Solve summed equations (..., 9); NaN where singular or NaN."""
    return solve3(table[..., SQUARE], table[..., 6:])


def solve_hand(cand: Candidates, eq: Equations, slot: IntArray) -> F64:
    """Triangulate the hand that the chosen candidates (F, V) show, shape (F, K, 3).

    Keypoints that stray from the others' result count less in the next of `WEIGHINGS` fits.
    """
    f, v = np.arange(slot.shape[0])[:, None], np.arange(slot.shape[1])[None]
    at = np.maximum(slot, 0)
    use = eq.seen[f, v, at] & (slot >= 0)[..., None]
    table, xy, tol = eq.table[f, v, at], cand.xy[f, v, at], cand.tol[f, v, at]
    per_tol = np.divide(1.0, tol, where=tol > 0, out=np.zeros_like(tol))[..., None]
    enough = use.sum(1) >= 2
    weight = use.astype(np.float64)
    for turn in range(WEIGHINGS):
        total = np.einsum("fvk,fvkc->fkc", weight, table)
        xyz = _solved(np.where(enough[..., None], total, np.nan))
        if turn + 1 < WEIGHINGS:
            cam = _in_cameras(cand, xyz[:, None])[:, :, 0]
            off = (cam[..., :2] / cam[..., 2:] - xy) * per_tol[..., None]
            d2 = (off**2).sum(-1)
            weight = np.where(use & np.isfinite(d2), 1 / (1 + STRAY * d2) ** 2, 0.0)
    return xyz


def _in_cameras(cand: Candidates, xyz: F64) -> F64:
    """Hands (F, Q, K, 3) in every camera, shape (F, V, Q, K, 3); NaN behind it."""
    frames, q, k = xyz.shape[:3]
    cam = xyz.reshape(frames, 1, q * k, 3) @ cand.R.transpose(0, 2, 1) + cand.t[:, None]
    cam[..., 2] = np.where(cam[..., 2] > 0, cam[..., 2], np.nan)
    return np.asarray(cam.reshape(frames, len(cand.R), q, k, 3))


def match(cost: F64) -> IntArray:
    """Give every hand at most one candidate a view, and every candidate one hand.

    Parameters
    ----------
    cost
        Errors in tolerances, shape (F, V, S, R).

    Returns
    -------
    IntArray
        Chosen slots, shape (F, V, R), -1 for none: the assignment of least total cost, where a hand
        without a candidate costs 1. Where every hand's best is its own alone, that is it.
    """
    from scipy.optimize import linear_sum_assignment  # loaded where it is needed: help is fast

    best = cost.argmin(2)
    slot = np.where(np.take_along_axis(cost, best[:, :, None], axis=2)[:, :, 0] < 1, best, -1)
    slots = np.arange(cost.shape[2])
    wanted = (slot[..., None] == slots).sum(2)
    for f, v in zip(*np.nonzero((wanted > 1).any(-1)), strict=True):
        square = np.minimum(cost[f, v], 1.0) ** 2
        rows, columns = linear_sum_assignment(square)
        slot[f, v] = -1
        kept = square[rows, columns] < 1
        slot[f, v, columns[kept]] = rows[kept]
    return slot
