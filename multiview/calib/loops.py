"""Loops of relative poses: three cameras round, and one must be back where one started.

A pair whose frames agree with each other but not with the rest of the rig was deceived: cameras out
of step in one of its takes, a board taken for its twin, a repeated pattern. Two pairs cannot tell
which is wrong; loops can (Zach, Klopschitz and Pollefeys, CVPR 2010).
"""

from __future__ import annotations

import itertools

import numpy as np

from multiview._shapes import BoolArray as Bools
from multiview._shapes import IntArray as Ints
from multiview.calib.edges import Edge
from multiview.calib.so3 import rotation_angle

__all__ = ["contradicted_pairs"]

# Squared closing error of a loop in spreads, three axes of rotation: exceeded 1 in 1000 times.
CLOSES = 16.3


def contradicted_pairs(
    edges: dict[tuple[int, int], Edge], views: int
) -> dict[tuple[int, int], float]:
    """Pairs that most of their loops of three contradict.

    Parameters
    ----------
    edges
        Poses ``a_from_b``, a < b.
    views
        Number of cameras.

    Returns
    -------
    dict
        Pair, and the median angle by which its loops stay open, radians.
    """
    R, variance = np.full((views, views, 3, 3), np.nan), np.full((views, views), np.nan)
    for (i, j), edge in edges.items():
        R[i, j], R[j, i] = edge.R, edge.R.T
        variance[i, j] = variance[j, i] = edge.variance
    triples = np.array(list(itertools.combinations(range(views), 3)), np.int64).reshape(-1, 3)
    a, b, c = triples.T
    gap = rotation_angle(R[a, b] @ R[b, c] @ R[c, a])
    total = variance[a, b] + variance[b, c] + variance[c, a]
    known = np.isfinite(total)
    opens = gap**2 > CLOSES * total
    out = {}
    for pair in edges:
        mine = known & (np.isin(triples, pair).sum(1) == 2)
        # one loop alone does not tell which of its pairs is wrong
        if mine.sum() >= 2 and opens[mine].mean() > 0.5:
            out[pair] = float(np.median(gap[mine]))
    return _worst_only(out, opens, triples, known)


def _worst_only(
    found: dict[tuple[int, int], float], opens: Bools, triples: Ints, known: Bools
) -> dict[tuple[int, int], float]:
    """Drop pairs that are only contradicted through worse ones."""
    left, broken = dict(found), known & opens
    out: dict[tuple[int, int], float] = {}
    while left:
        counts = {p: int((broken & (np.isin(triples, p).sum(1) == 2)).sum()) for p in left}
        worst = max(counts, key=lambda p: counts[p])
        if counts[worst] < 2:
            break
        out[worst] = left.pop(worst)
        broken &= np.isin(triples, worst).sum(1) != 2
    return out
