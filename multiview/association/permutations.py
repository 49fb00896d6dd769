"""Which finger is which in one view, against 3D hands of the others: scores of all permutations.

A row of a view (the detection of a keypoint) compared with a projected point scores

    g = log(1 + q exp(-r^2 / 2 s^2)),    q = p / (1 - p) * w^2 / (2 pi s^2):

the log-likelihood ratio of a right detection (normal, probability p) or a wrong one (uniform in the
hand's box of width w) against a wrong one alone. It is 0 for what is missing on either side. The
score of a permutation is the sum over its rows; its excess over the score of the rows as they are
is the logarithm of a likelihood ratio L. Whatever is tried, ``P(L > t) <= 1 / t`` where the rows
are right as they are (Markov), so that N permutations together are mistaken at most once in
``t / N`` times.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Skeleton

__all__ = ["Fingers", "Judged", "View", "fingers_of", "judge", "row_score"]

# False repairs allowed of hands in a view that need none.
FALSE_RATE = 1e-4
# Share of detections that are right; any from a half to 0.99 moves a row's score by 2.3 of about 8.
RIGHT = 0.9
# The errors of a finger's keypoints go together: four count as two.
INDEPENDENT = 0.5
# Rows of a moved finger that must be known at both places, and how much better each moved finger
# must fit by itself (a likelihood ratio of 7): none rides along.
ROWS, LEAST_GAIN = 2, 2.0
# More groups than this are exchanged in pairs only: the number of permutations explodes.
MOST_GROUPS = 6
# Noise of a hand in a view: this quantile of its errors is that of the good ones even where three
# of five fingers are exchanged (9 of 21 rows good); of a Rayleigh law it is 0.93 sigma.
QUANTILE = 0.35
RAYLEIGH = float(np.sqrt(-2 * np.log(1 - QUANTILE)))


@dataclass(frozen=True, slots=True)
class Fingers:
    """Groups of a skeleton that can be taken for one another.

    Parameters
    ----------
    names
        G names.
    rows
        Keypoints of each, shape (G, m).
    orders
        Permutations: finger whose rows go to each place, shape (N, G), fewest moves first, the
        identity (not tried) left out.
    """

    names: tuple[str, ...]
    rows: IntArray
    orders: IntArray

    @property
    def tried(self) -> int:
        """Hypotheses: permutations and fingers in reverse, each at two offsets."""
        return 2 * (len(self.orders) + len(self.names))


@dataclass(frozen=True, slots=True)
class View:
    """M hands, each in one view.

    Parameters
    ----------
    xy
        Detections, shape (M, K, 2), pixels; NaN where missing.
    at
        Projected 3D, shape (M, K, 2); NaN where other views do not carry it.
    sigma
        Standard deviation of a coordinate of their difference, shape (M, K).
    box
        Width of each hand's box, pixels, shape (M,).
    """

    xy: F64
    at: F64
    sigma: F64
    box: F64


@dataclass(frozen=True, slots=True)
class Judged:
    """The best permutation of each of M hands in a view.

    Parameters
    ----------
    source
        Row that goes to each keypoint, shape (M, K): ``arange(K)`` where nothing is repaired.
    fingers
        Fingers that move, shape (M, G).
    reverse
        Whether it is one finger's rows in reverse, shape (M,).
    excess
        Logarithm of the likelihood ratio, shape (M,).
    """

    source: IntArray
    fingers: BoolArray
    reverse: BoolArray
    excess: F64


def fingers_of(skeleton: Skeleton) -> Fingers | None:
    """Return the largest set of groups of one length (3 or more), at least two; else None."""
    groups = {n: g for n, g in skeleton.groups.items() if len(g) >= 3}
    lengths = [len(g) for g in groups.values()]
    if not lengths:
        return None
    m = max(set(lengths), key=lambda n: (lengths.count(n), n))
    chosen = {n: g for n, g in groups.items() if len(g) == m}
    count = len(chosen)
    if count < 2:
        return None
    if count <= MOST_GROUPS:
        orders = [p for p in permutations(range(count)) if p != tuple(range(count))]
    else:
        orders = [_exchanged(count, a, b) for a in range(count) for b in range(a)]
    moves = [sum(i != j for j, i in enumerate(p)) for p in orders]
    orders = [orders[n] for n in np.argsort(moves, kind="stable")]
    return Fingers(tuple(chosen), np.array(list(chosen.values())), np.array(orders))


def _exchanged(count: int, a: int, b: int) -> tuple[int, ...]:
    order = list(range(count))
    order[a], order[b] = b, a
    return tuple(order)


def row_score(r2: F64, sigma: F64, box: F64) -> F64:
    """Score of rows by squared distance, noise and box (all broadcast): 0 where NaN."""
    odds = RIGHT / (1 - RIGHT) * box**2 / (2 * np.pi * sigma**2)
    score = np.log1p(odds * np.exp(-r2 / (2 * sigma**2)))
    return np.asarray(INDEPENDENT * np.where(np.isfinite(score), score, 0.0))


def judge(view: View, fingers: Fingers) -> Judged:
    """Find the permutation that each view's rows show, if it is far likelier than none."""
    m, k = view.xy.shape[:2]
    residual = view.xy - view.at
    offset = np.nan_to_num(np.nanmedian(_some(residual), axis=1))
    sigma = _noise(view, residual - offset[:, None])
    # a view that is off as a whole (a moved camera, a late picture) must not look like a
    # permutation of neighbours: every hypothesis may use the offset of the rows as they are
    scores = [_scores(view, fingers, sigma, o) for o in (np.zeros_like(offset), offset)]
    now = np.max([s.now for s in scores], axis=0)
    allowed = _allowed(view, fingers)
    order = np.max([s.orders for s in scores], axis=0)
    order = np.where(allowed, order - now[:, None], -np.inf)
    back = np.max([s.reverse for s in scores], axis=0)
    back = np.where(_known(view, fingers).sum(-1) >= ROWS, back - now[:, None], -np.inf)
    excess = np.concatenate([order, back], axis=1)
    best = excess.argmax(1)
    value = excess[np.arange(m), best]
    keep = value > np.log(fingers.tried / FALSE_RATE)
    table, moved = _table(fingers, k)
    same = np.arange(k)
    return Judged(
        source=np.where(keep[:, None], table[best], same),
        fingers=moved[best] & keep[:, None],
        reverse=keep & (best >= len(fingers.orders)),
        excess=value,
    )


def _some(residual: F64) -> F64:
    """Residuals with zeros where a hand has none at all, so that medians exist."""
    none = np.isnan(residual).all((1, 2), keepdims=True)
    return np.asarray(np.where(none, 0.0, residual))


def _noise(view: View, residual: F64) -> F64:
    """Noise of every row: what is expected, or what the hand shows in this view, if that is more.

    Shape (M, K).
    """
    r = np.linalg.norm(_some(residual), axis=-1)
    place = (QUANTILE * (np.isfinite(r).sum(1) - 1)).astype(np.int64)
    # missing rows sort to the end
    shown = np.take_along_axis(np.sort(r, axis=1), place[:, None], axis=1)[:, 0] / RAYLEIGH
    return np.asarray(np.maximum(view.sigma, shown[:, None]))


@dataclass(frozen=True, slots=True)
class _Scores:
    now: F64  # (M,)
    orders: F64  # (M, N), -inf where a moved finger does not gain
    reverse: F64  # (M, G)


def _scores(view: View, fingers: Fingers, sigma: F64, offset: F64) -> _Scores:
    rows, count = fingers.rows, len(fingers.names)
    xy, box = view.xy - offset[:, None], view.box
    by_row = row_score(((xy - view.at) ** 2).sum(-1), sigma, box[:, None])
    x, at, s = xy[:, rows], view.at[:, rows], sigma[:, rows]
    r2 = ((x[:, :, None] - at[:, None]) ** 2).sum(-1)  # (M, from, to, m)
    pair = row_score(r2, s[:, None], box[:, None, None, None]).sum(-1)
    back = row_score(((x[:, :, ::-1] - at) ** 2).sum(-1), s, box[:, None, None]).sum(-1)
    own = np.einsum("mgg->mg", pair)
    now = by_row.sum(1)
    place = np.arange(count)
    moved = fingers.orders != place
    gain = pair - own[:, :, None]  # of each finger's rows, by going elsewhere
    has = np.asarray(np.isfinite(x[..., 0]).any(-1))
    good = (gain > LEAST_GAIN) | ~has[:, :, None]
    good |= np.eye(count, dtype=bool)
    total = gain[:, fingers.orders, place].sum(-1)
    fits = good[:, fingers.orders, place].all(-1) & (has[:, None] & moved).any(-1)
    return _Scores(
        now=now,
        orders=np.where(fits, now[:, None] + total, -np.inf),
        reverse=now[:, None] + back - own,
    )


def _known(view: View, fingers: Fingers) -> BoolArray:
    """Rows that are there and whose own place is known, shape (M, G, m)."""
    known = np.isfinite(view.xy[..., 0]) & np.isfinite(view.at[..., 0])
    return np.asarray(known[:, fingers.rows], np.bool_)


def _allowed(view: View, fingers: Fingers) -> BoolArray:
    """Permutations whose moved rows could be tested at both places, shape (M, N)."""
    known, place = _known(view, fingers), np.arange(len(fingers.names))
    there = np.isfinite(view.at[..., 0])[:, fingers.rows]
    both = (known[:, :, None] & there[:, None]).sum(-1) >= ROWS
    empty = np.asarray(~np.isfinite(view.xy[..., 0])[:, fingers.rows].any(-1))
    fine = both | empty[:, :, None] | np.eye(len(place), dtype=bool)
    return np.asarray(fine[:, fingers.orders, place].all(-1), np.bool_)


def _table(fingers: Fingers, k: int) -> tuple[IntArray, BoolArray]:
    """Rows (N + G, K) that every hypothesis takes, and the fingers (N + G, G) that it moves."""
    count = len(fingers.names)
    n = len(fingers.orders)
    source = np.tile(np.arange(k), (n + count, 1))
    source[:n, fingers.rows] = fingers.rows[fingers.orders]
    for g in range(count):
        source[n + g, fingers.rows[g]] = fingers.rows[g, ::-1]
    moved = np.concatenate([fingers.orders != np.arange(count), np.eye(count, dtype=bool)])
    return source, moved
