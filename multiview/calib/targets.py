"""Boards as the solver sees them: corners about a centre, ways to bend, ways to be numbered.

A print on paper or foam is never flat: bows of 1 to 3 mm are common. Up to a rigid motion a gently
bent board is a second-order surface, so three heights describe it: a bow along its columns, one
along its rows, and a twist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64
from multiview._shapes import BoolArray as Bools
from multiview._shapes import IntArray as Ints
from multiview.calib.board import Board

__all__ = ["BENDS", "Targets", "gather_targets"]

BENDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """T boards, padded to the most corners C.

    Parameters
    ----------
    xyz
        Corners about the board's centre, shape (T, C, 3), metres; zero beyond a board's own.
    count
        Corners of each board, shape (T,).
    bend
        Height of every corner per height of each bend, shape (T, BENDS, C); zeros where a board
        has no such bend.
    bends
        Bends that a board has, shape (T, BENDS).
    planar
        Shape (T,).
    order, turn
        Renumberings that corners alone do not tell apart, shapes (T, N, C) and (T, N, 3, 3): corner
        ``i`` renumbered is corner ``order[i]``, the turn of the board about its centre. The
        identity comes first; beyond a board's own, ``turn`` is NaN.
    """

    xyz: F64
    count: Ints
    bend: F64
    bends: Bools
    planar: Bools
    order: Ints
    turn: F64

    @property
    def extent(self) -> F64:
        """Longest side of the box around each board, shape (T,), metres."""
        return np.array(
            [np.ptp(x[:n], axis=0).max() for x, n in zip(self.xyz, self.count, strict=True)]
        )


def gather_targets(boards: Sequence[Board]) -> Targets:
    """Pad boards to one size."""
    points = [b.object_points - b.object_points.mean(0) for b in boards]
    T, C = len(boards), max(len(p) for p in points)
    N = max(len(b.symmetries) for b in boards)
    xyz, bend = np.zeros((T, C, 3)), np.zeros((T, BENDS, C))
    order, turn = np.tile(np.arange(C), (T, N, 1)), np.full((T, N, 3, 3), np.nan)
    planar = np.array([bool(np.ptp(p[:, 2]) < 1e-9 * np.ptp(p)) for p in points])
    for i, (board, p) in enumerate(zip(boards, points, strict=True)):
        xyz[i, : len(p)] = p
        for k, (numbers, R) in enumerate(board.symmetries):
            order[i, k, : len(p)], turn[i, k] = numbers, R
        if planar[i]:
            bend[i, :, : len(p)] = _bending(p, len(board.symmetries))
    return Targets(
        xyz=xyz,
        count=np.array([len(p) for p in points]),
        bend=bend,
        bends=np.asarray(bend.any(-1), np.bool_),
        planar=planar,
        order=order,
        turn=turn,
    )


def _bending(xyz: F64, symmetries: int) -> F64:
    """Heights (BENDS, C), 1 between the middle and an end, mean and tilt taken out.

    Without its mean and tilt a bend does not move the board's pose.
    """
    half = np.maximum(np.abs(xyz[:, :2]).max(0), 1e-12)
    u, v = (xyz[:, :2] / half).T
    # whether a square chessboard was turned by a quarter is not known: only a bowl is the same then
    shapes = np.stack([1 - u * u, 1 - v * v, u * v])
    if symmetries > 2:
        shapes = np.stack([shapes[0] + shapes[1], 0 * u, 0 * u])
    plane = np.stack([np.ones_like(u), u, v], axis=1)
    flat = plane @ np.linalg.lstsq(plane, shapes.T, rcond=None)[0]
    return np.asarray(shapes - flat.T)
