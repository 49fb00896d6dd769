"""Camera and board poses from single sightings: votes over frames, then the surest path.

Every sighting gives two planar poses, and a chessboard may be numbered from either end. For a pair
of cameras all combinations in all shared frames vote on their relative pose: the true ones agree,
the others scatter. Distances are measured in the spread that the corner noise gives each pose, so
that no threshold is in degrees or millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from multiview._shapes import F64
from multiview.calib.pnp import SOLUTIONS, Candidates, undistorted
from multiview.calib.problem import Ints, Sightings, State
from multiview.calib.so3 import mean_rotation
from multiview.core import Intrinsics
from multiview.errors import CalibrationError

__all__ = ["Edge", "chain_cameras", "check_connected", "pose_boards", "relative_pose"]

# A lens estimated alone is off by about this angle, whatever the corner noise says.
ANGLE_FLOOR = np.deg2rad(0.3)
# Squared distance in spreads within which a frame agrees: two sums over three axes, each of mean 1;
# the product of margins leaves out 1 in 1000.
AGREE = 12.0
# Frames that propose a relative pose, and that judge it; more cost time and change nothing.
PROPOSERS, JUDGES = 48, 256
# A pair that fewer frames agree on is only used where no other path exists.
FEW_FRAMES, FEW_FRAMES_PENALTY = 3, 100.0
# Pairs of sightings projected at once in the consensus of board poses; bounds memory.
BLOCK = 4096

Turns = tuple[tuple[Ints, F64], ...]


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


def _ballot(poses: Candidates, at_a: Ints, at_b: Ints, turns: Turns) -> _Ballot:
    i, j, k = (
        m.ravel()
        for m in np.meshgrid(
            np.arange(SOLUTIONS), np.arange(SOLUTIONS), np.arange(len(turns)), indexing="ij"
        )
    )
    turn = np.stack([R for _, R in turns])[k]
    a, b = (at_a[:, None], i), (at_b[:, None], j)
    R = poses.R[a] @ np.swapaxes(poses.R[b] @ turn, -1, -2)
    floor = ANGLE_FLOOR**2
    return _Ballot(
        R=R,
        t=poses.t[a] - np.einsum("fnij,fnj->fni", R, poses.t[b]),
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


def relative_pose(poses: Candidates, at_a: Ints, at_b: Ints, turns: Turns) -> Edge | None:
    """Pose of camera b in the frame of camera a by vote over shared frames.

    Parameters
    ----------
    poses
        Of all sightings.
    at_a, at_b
        Sightings of the two cameras in their shared frames, shape (F,).
    turns
        The board's symmetries, as rotations about its centre.

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


def check_connected(seen: Sightings, names: tuple[str, ...]) -> None:
    """Refuse footage in which some cameras share no board view with the rest.

    Raises
    ------
    CalibrationError
        Naming the groups of cameras, and between which ones to film.
    """
    V, B = len(names), int(seen.board.max()) + 1
    sees = np.zeros((V, B), bool)
    sees[seen.view, seen.board] = True
    count, label = connected_components(csr_array((sees @ sees.T).astype(float)), directed=False)
    if count == 1:
        return
    groups = [[names[v] for v in np.flatnonzero(label == g)] for g in range(count)]
    listed = " | ".join(", ".join(group) for group in groups)
    pairs = "; ".join(f"{groups[0][-1]} and {group[0]}" for group in groups[1:])
    raise CalibrationError(
        f"the cameras fall into {count} groups that never see the board at the same time: {listed}",
        f"film the board where a camera of each group sees it at the same time (for example {pairs}"
        "), 10 positions or more, and check that the cameras are synchronised",
    )


def pair_edges(
    seen: Sightings, poses: Candidates, turns: Turns, views: int
) -> dict[tuple[int, int], Edge]:
    """Relative poses of all pairs of cameras that share a board view."""
    at = np.full((views, int(seen.board.max()) + 1), -1)
    posed = np.isfinite(poses.cost[:, 0])
    at[seen.view[posed], seen.board[posed]] = np.flatnonzero(posed)
    edges = {}
    for a in range(views):
        for b in range(a + 1, views):
            both = np.flatnonzero((at[a] >= 0) & (at[b] >= 0))
            edge = relative_pose(poses, at[a, both], at[b, both], turns) if both.size else None
            if edge is not None:
                edges[a, b] = edge
    return edges


def chain_cameras(
    edges: dict[tuple[int, int], Edge], names: tuple[str, ...]
) -> tuple[F64, F64, list[tuple[int, int]]]:
    """Pose every camera along its surest path from the first.

    Returns
    -------
    tuple
        ``cam_from_world`` rotations (V, 3, 3) and translations (V, 3) with the world at camera 0,
        and the pairs used.
    """
    V = len(names)
    cost = np.zeros((V, V))
    for (a, b), edge in edges.items():
        cost[a, b] = cost[b, a] = edge.variance
    start = np.array([0])
    _, parents = dijkstra(csr_array(cost), directed=False, indices=start, return_predecessors=True)
    parent = parents[0]
    R, t = np.full((V, 3, 3), np.nan), np.full((V, 3), np.nan)
    R[0], t[0], used = np.eye(3), 0, []
    waiting = list(range(1, V))
    while waiting:
        v = waiting.pop(0)
        p = int(parent[v])
        if p < 0:
            raise CalibrationError(
                f"camera {names[v]} cannot be posed: no board was posed both in it and in another",
                "film the board closer and more tilted where two cameras see it",
            )
        if np.isnan(t[p, 0]):
            waiting.append(v)
            continue
        edge = edges[min(v, p), max(v, p)]
        # an edge holds a_from_b with a < b; v_from_p is it or its inverse
        step_R, step_t = (edge.R, edge.t) if v < p else (edge.R.T, -edge.R.T @ edge.t)
        R[v], t[v] = step_R @ R[p], step_R @ t[p] + step_t
        used.append((min(v, p), max(v, p)))
    return R, t, sorted(used)


def pose_boards(
    seen: Sightings,
    poses: Candidates,
    turns: Turns,
    lenses: tuple[Intrinsics, ...],
    cam: tuple[F64, F64],
) -> tuple[State, Sightings]:
    """Pose each board by consensus of the cameras that see it, and number its corners alike.

    Each sighting's candidates are tried in all cameras that see the board; the one that fits best
    over all of them wins. Sightings numbered otherwise (a turned chessboard) are renumbered.

    Returns
    -------
    tuple
        The start of the adjustment, and the sightings with corners renumbered.
    """
    cam_R, cam_t = cam
    order = np.argsort(seen.board, kind="stable")
    counts = np.bincount(seen.board)
    # all (proposing, judging) pairs of sightings of one board
    first = np.repeat(np.cumsum(counts) - counts, counts**2)
    inner = np.arange(first.size) - np.repeat(np.cumsum(counts**2) - counts**2, counts**2)
    m = np.repeat(counts, counts**2)
    proposer, judge = order[first + inner // m], order[first + inner % m]
    cost, turn = _judge(seen, poses, turns, lenses, cam, proposer, judge)
    total = np.zeros((len(seen.view), SOLUTIONS))
    np.add.at(total, proposer, cost)
    total[~np.isfinite(poses.cost)] = np.inf
    best_of = np.lexsort((total.min(1), seen.board))
    winner = best_of[np.cumsum(counts) - counts]  # cheapest sighting of each board
    solution = total[winner].argmin(1)
    known = np.isfinite(total[winner, solution])
    v = seen.view[winner]
    R = np.swapaxes(cam_R[v], -1, -2) @ np.nan_to_num(poses.R[winner, solution])
    shift = np.nan_to_num(poses.t[winner, solution]) - cam_t[v]
    t = np.einsum("bji,bj->bi", cam_R[v], shift)
    chosen = np.flatnonzero(proposer == winner[seen.board[judge]])
    pick = np.zeros(len(seen.view), np.int64)
    pick[judge[chosen]] = turn[chosen, solution[seen.board[judge[chosen]]]]
    numbering = np.stack([o for o, _ in turns])[pick]
    xy = np.take_along_axis(seen.xy_px, numbering[..., None], axis=1)
    xy = np.where(known[seen.board][:, None, None], xy, np.nan)
    state = State(
        lenses=lenses,
        cam_R=cam_R,
        cam_t=cam_t,
        board_R=np.where(known[:, None, None], R, np.eye(3)),
        board_t=np.where(known[:, None], t, 0.0),
    )
    return state, replace(seen, xy_px=xy)


def _judge(
    seen: Sightings,
    poses: Candidates,
    turns: Turns,
    lenses: tuple[Intrinsics, ...],
    cam: tuple[F64, F64],
    proposer: Ints,
    judge: Ints,
) -> tuple[F64, Ints]:
    """Robust misfit of each proposer's poses in each judge, (P, 2), and the turn that fits best."""
    xy_norm = undistorted(seen, lenses)
    cost = np.zeros((len(proposer), SOLUTIONS))
    turn = np.zeros((len(proposer), SOLUTIONS), np.int64)
    for start in range(0, len(proposer), BLOCK):
        part = slice(start, start + BLOCK)
        p, q = proposer[part], judge[part]
        va, vb = seen.view[p], seen.view[q]
        R = cam[0][vb] @ np.swapaxes(cam[0][va], -1, -2)
        t = cam[1][vb] - np.einsum("pij,pj->pi", R, cam[1][va])
        board_R = R[:, None] @ poses.R[p]
        board_t = np.einsum("pij,pkj->pki", R, poses.t[p]) + t[:, None]
        xyz = seen.xyz_board @ np.swapaxes(board_R, -1, -2) + board_t[:, :, None]
        depth = xyz[..., 2:]
        xy = xyz[..., :2] / np.where(depth > 0, depth, np.nan)
        misfit = np.stack([_misfit(xy, xy_norm[q][:, o], depth) for o, _ in turns])
        cost[part], turn[part] = misfit.min(0), misfit.argmin(0)
    return cost, turn


def _misfit(xy: F64, found: F64, depth: F64) -> F64:
    """Sum over corners of a bounded loss, in spreads of the angle that cameras are off by."""
    there = np.isfinite(found[:, None]).all(-1)
    squared = ((xy - found[:, None]) ** 2).sum(-1) / ANGLE_FLOOR**2
    squared = np.where(depth[..., 0] > 0, squared, np.inf)
    return np.asarray(np.where(there, 1 - 1 / (1 + np.nan_to_num(squared, nan=np.inf)), 0).sum(-1))
