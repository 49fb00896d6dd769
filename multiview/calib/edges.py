"""Relative poses of two cameras: votes of all frames they share.

Every sighting gives two planar poses, and a chessboard may be numbered from either end. All
combinations in all shared frames vote: the true ones agree, the others scatter. Distances are
measured in the spread that the corner noise gives each pose, so that no threshold is in degrees or
millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.pnp import SOLUTIONS, Candidates
from multiview.calib.problem import Ints, Sightings
from multiview.calib.so3 import mean_rotation

__all__ = ["ANGLE_FLOOR", "FEW_FRAMES", "Edge", "pair_edges", "relative_pose"]

# A lens estimated alone is off by about this angle, whatever the corner noise says.
ANGLE_FLOOR = np.deg2rad(0.3)
# Squared distance in spreads within which a frame agrees: two sums over three axes, each of mean 1;
# the product of margins leaves out 1 in 1000.
AGREE = 12.0
# Frames that propose a relative pose, and that judge it; more cost time and change nothing.
PROPOSERS, JUDGES = 48, 256
# A pair that fewer frames agree on is only used where no other path exists.
FEW_FRAMES, FEW_FRAMES_PENALTY = 3, 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Relative pose ``a_from_b`` of two cameras, the frames that agree, and its variance."""

    R: F64
    t: F64
    agree: int
    shared: int
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ballot:
    """All combinations of two cameras' poses in F frames, N combinations each."""

    R: F64  # (F, N, 3, 3) a_from_b
    t: F64  # (F, N, 3)
    board_a: F64  # (F, N, 3) centre of the board in a
    board_b: F64  # (F, N, 3) and in b
    rot_var: F64  # (F, N)
    pos_var: F64  # (F, N)

    def take(self, frames: Ints) -> _Ballot:
        return _Ballot(**{n: getattr(self, n)[frames] for n in self.__slots__})


def _ballot(poses: Candidates, at_a: Ints, at_b: Ints, turns: F64) -> _Ballot:
    i, j, k = (
        m.ravel()
        for m in np.meshgrid(
            np.arange(SOLUTIONS), np.arange(SOLUTIONS), np.arange(turns.shape[1]), indexing="ij"
        )
    )
    turn = turns[:, k]
    a, b = (at_a[:, None], i), (at_b[:, None], j)
    known = np.isfinite(turn[..., 0, 0])[..., None]
    R = poses.R[a] @ np.swapaxes(poses.R[b] @ turn, -1, -2)
    floor = ANGLE_FLOOR**2
    return _Ballot(
        R=R,
        t=np.where(known, poses.t[a] - np.einsum("fnij,fnj->fni", R, poses.t[b]), np.nan),
        board_a=poses.t[a],
        board_b=poses.t[b],
        rot_var=poses.rot_var[a] + poses.rot_var[b] + floor,
        pos_var=poses.pos_var[a]
        + poses.pos_var[b]
        + floor * ((poses.t[a] ** 2).sum(-1) + (poses.t[b] ** 2).sum(-1)),
    )


def _distance(R: F64, t: F64, own: tuple[F64, F64, F64], votes: _Ballot) -> F64:
    """Squared distance in spreads of poses (P,) from all votes, shape (P, F, N)."""
    rot_var, pos_var, anchor = own
    # |R - R'|_F^2 = 8 sin^2(angle / 2), from the trace alone: one matrix product
    trace = R.reshape(len(R), 9) @ votes.R.reshape(-1, 9).T
    angle2 = np.maximum(3 - trace.reshape(len(R), *votes.t.shape[:2]), 0)
    moved = np.tensordot(R, votes.board_b, axes=([2], [2])).transpose(0, 2, 3, 1)
    gap2 = ((moved + t[:, None, None] - votes.board_a) ** 2).sum(-1)
    lever2 = ((votes.board_b - anchor[:, None, None]) ** 2).sum(-1)
    rot_var = rot_var[:, None, None]
    total_rot = votes.rot_var + rot_var
    total_pos = votes.pos_var + pos_var[:, None, None] + rot_var * lever2
    return np.asarray(angle2 / total_rot + gap2 / total_pos)


def relative_pose(poses: Candidates, at_a: Ints, at_b: Ints, turns: F64) -> Edge | None:
    """Pose of camera b in the frame of camera a by vote over shared frames.

    Parameters
    ----------
    poses
        Of all sightings.
    at_a, at_b
        Sightings of the two cameras in their shared frames, shape (F,).
    turns
        Symmetries of the board of each frame, rotations about its centre, shape (F, N, 3, 3); NaN
        beyond a board's own.

    Returns
    -------
    Edge or None
        None where no frame has poses in both.
    """
    votes = _ballot(poses, at_a, at_b, turns)
    known = np.isfinite(votes.t[..., 0]).any(1)
    votes = votes.take(np.flatnonzero(known))
    if not known.any():
        return None
    shared = len(votes.t)
    if shared > JUDGES:
        votes = votes.take(np.linspace(0, shared - 1, JUDGES).astype(np.int64))
    votes = replace(votes, R=np.nan_to_num(votes.R), t=np.nan_to_num(votes.t, nan=np.inf))
    R, t, own = _proposals(votes)
    d2 = np.nan_to_num(_distance(R, t, own, votes), nan=np.inf).min(-1)
    best = int(np.argmax(np.maximum(0, 1 - d2 / AGREE).sum(1)))
    return _polished(R[best], t[best], tuple(o[best] for o in own), votes, shared)


def _proposals(votes: _Ballot) -> tuple[F64, F64, tuple[F64, F64, F64]]:
    frames = np.argsort(np.nan_to_num(votes.rot_var, nan=np.inf).min(1))[:PROPOSERS]
    some = votes.take(frames)
    ok = np.isfinite(some.t[..., 0])
    return some.R[ok], some.t[ok], (some.rot_var[ok], some.pos_var[ok], some.board_b[ok])


def _polished(R: F64, t: F64, own: tuple[F64, ...], votes: _Ballot, shared: int) -> Edge:
    """Mean of the agreeing votes, twice: the second time judged from the first mean."""
    own_now = (own[0][None], own[1][None], own[2][None])
    frames = np.arange(len(votes.t))
    for _ in range(3):
        d2 = np.nan_to_num(_distance(R[None], t[None], own_now, votes)[0], nan=np.inf)
        which = d2.argmin(1)
        agree = d2.min(1) < AGREE
        at = frames[agree], which[agree]
        if not agree.any():
            break
        weight = 1 / votes.rot_var[at]
        R = mean_rotation(votes.R[at], weight)
        near = 1 / votes.pos_var[at]
        shift = votes.board_a[at] - votes.board_b[at] @ R.T
        t = (near[:, None] * shift).sum(0) / near.sum()
        centre = (near[:, None] * votes.board_b[at]).sum(0) / near.sum()
        own_now = (1 / weight.sum(keepdims=True), 1 / near.sum(keepdims=True), centre[None])
    share = max(float(agree.mean()), 1e-3)
    variance = float(own_now[0][0]) / share**2
    if agree.sum() < FEW_FRAMES:
        variance *= FEW_FRAMES_PENALTY
    return Edge(R=R, t=t, agree=int(agree.sum()), shared=shared, variance=variance)


def pair_edges(seen: Sightings, poses: Candidates, views: int) -> dict[tuple[int, int], Edge]:
    """Relative poses of all pairs of cameras that share a board view."""
    at = np.full((views, int(seen.board.max()) + 1), -1)
    # of a board that lies still, the view that fits best (the last one written) speaks
    posed = np.argsort(-poses.cost[:, 0], kind="stable")
    posed = posed[np.isfinite(poses.cost[posed, 0])]
    at[seen.view[posed], seen.board[posed]] = posed
    edges = {}
    for a in range(views):
        for b in range(a + 1, views):
            both = np.flatnonzero((at[a] >= 0) & (at[b] >= 0))
            turns = seen.targets.turn[seen.target[at[a, both]]]
            edge = relative_pose(poses, at[a, both], at[b, both], turns) if both.size else None
            if edge is not None:
                edges[a, b] = edge
    return edges
