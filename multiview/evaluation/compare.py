"""Two runs on the same take: paired differences of what both can be judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.evaluation.findings import Findings, Spatial
from multiview.evaluation.keypoints_2d import Matched
from multiview.evaluation.paired import Difference, paired_difference

__all__ = ["Comparison", "compare"]

PCK_AT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measure of two runs.

    Parameters
    ----------
    name, unit
        What it is; ``"%"`` for shares.
    more_is_better
        Which sign is good.
    difference
        The second run less the first.
    """

    name: str
    unit: str
    more_is_better: bool
    difference: Difference

    @property
    def verdict(self) -> str:
        """Return "better", "worse" or "no difference shown", of the second run."""
        if not self.difference.certain:
            return "no difference shown"
        return "better" if (self.difference.value > 0) == self.more_is_better else "worse"


def compare(first: Findings, second: Findings) -> tuple[Comparison, ...]:
    """Compare what both have on the same frames.

    Parameters
    ----------
    first, second
        Matched with the same truth, where there is one.
    """
    out: list[Comparison] = []
    if first.planar is not None and second.planar is not None:
        out += _planar(first.planar, second.planar)
    if first.spatial is not None and second.spatial is not None:
        out += _spatial(first.spatial, second.spatial)
    out += _held_out(first, second)
    return tuple(c for c in out if c.difference.frames)


def _row(name: str, unit: str, more: bool, a: F64, b: F64, use: BoolArray, axis: int) -> Comparison:
    """Compare values where ``use``; frames are one of the axes."""
    others = tuple(n for n in range(use.ndim) if n != axis)
    sums = [np.where(use, np.nan_to_num(x), 0.0).sum(others) for x in (a, b)]
    difference = paired_difference(sums[0], sums[1], use.sum(others).astype(np.float64))
    return Comparison(name=name, unit=unit, more_is_better=more, difference=difference)


def _planar(a: Matched, b: Matched) -> list[Comparison]:
    exists, side = a.exists & b.exists, a.truth.side_px[..., None]
    hits = [(np.nan_to_num(m.error_px, nan=np.inf) <= PCK_AT * side).astype(float) for m in (a, b)]
    both = exists & np.isfinite(a.error_px) & np.isfinite(b.error_px)
    hands = np.asarray(exists.any(-1), np.bool_)
    return [
        _row(f"PCK@{PCK_AT:g} of the box", "%", True, hits[0], hits[1], exists, 1),
        _row("hands found", "%", True, a.found.astype(float), b.found.astype(float), hands, 1),
        _row("error where both found it", "px", False, a.error_px, b.error_px, both, 1),
    ]


def _spatial(a: Spatial, b: Spatial) -> list[Comparison]:
    _, here, there = np.intersect1d(a.frame_ids, b.frame_ids, return_indices=True)
    exists = a.exists[here] & b.exists[there]
    out = []
    one, other = a.errors_mm["absolute"][here], b.errors_mm["absolute"][there]
    found = [np.isfinite(e).astype(float) for e in (one, other)]
    out.append(_row("3D keypoints recovered", "%", True, found[0], found[1], exists, 0))
    for name, words in (("absolute", "3D error, absolute"), ("aligned", "3D error, aligned")):
        one, other = a.errors_mm[name][here], b.errors_mm[name][there]
        both = exists & np.isfinite(one) & np.isfinite(other)
        out.append(_row(f"{words}, where both have it", "mm", False, one, other, both, 0))
    return out


def _held_out(a: Findings, b: Findings) -> list[Comparison]:
    if a.held_out_px is None or b.held_out_px is None or a.camera_names != b.camera_names:
        return []
    if a.carried is None or b.carried is None or a.held_out_px.shape[2:] != b.held_out_px.shape[2:]:
        return []
    _, here, there = np.intersect1d(a.frame_ids, b.frame_ids, return_indices=True)
    one, other = a.held_out_px[:, here], b.held_out_px[:, there]
    both = a.carried[:, here] & b.carried[:, there] & np.isfinite(one) & np.isfinite(other)
    out = [_row("held-out error, views that both carry", "px", False, one, other, both, 1)]
    # against a truth, it says which keypoints there were to be found
    if a.spatial is None and a.valid is not None and b.valid is not None:
        found = [v.astype(float) for v in (a.valid[here], b.valid[there])]
        hands = np.broadcast_to((found[0] + found[1]).any(-1, keepdims=True), found[0].shape)
        out.append(_row("keypoints with 3D", "%", True, found[0], found[1], hands, 0))
    return out
