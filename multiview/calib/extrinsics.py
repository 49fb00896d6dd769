"""Camera and board poses from single sightings: the surest path, then boards by consensus.

The relative poses of pairs come from `multiview.calib.edges`; their loops are checked first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from multiview._shapes import F64
from multiview.calib.edges import ANGLE_FLOOR, FEW_FRAMES_PENALTY, Edge
from multiview.calib.pnp import SOLUTIONS, Candidates, undistorted
from multiview.calib.problem import Ints, Sightings, State
from multiview.core import Intrinsics
from multiview.errors import CalibrationError

__all__ = ["chain_cameras", "check_connected", "pose_boards"]

# Pairs of sightings projected at once in the consensus of board poses; bounds memory.
BLOCK = 4096


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


def chain_cameras(
    edges: dict[tuple[int, int], Edge],
    names: tuple[str, ...],
    doubtful: Collection[tuple[int, int]] = (),
) -> tuple[F64, F64, list[tuple[int, int]]]:
    """Pose every camera along its surest path from the first.

    Parameters
    ----------
    edges
        Relative poses and their expected errors.
    names
        Cameras.
    doubtful
        Pairs that are used only where there is no other path.

    Returns
    -------
    tuple
        ``cam_from_world`` rotations (V, 3, 3) and translations (V, 3) with the world at camera 0,
        and the pairs used.
    """
    V = len(names)
    cost = np.zeros((V, V))
    for (a, b), edge in edges.items():
        penalty = FEW_FRAMES_PENALTY if (a, b) in doubtful else 1.0
        cost[a, b] = cost[b, a] = edge.variance * penalty
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
    cost, turn = _judge(seen, poses, lenses, cam, proposer, judge)
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
    numbering = seen.targets.order[seen.target, pick]
    xy = np.take_along_axis(seen.xy_px, numbering[..., None], axis=1)
    xy = np.where(known[seen.board][:, None, None], xy, np.nan)
    board = np.where(known[:, None, None], R, np.eye(3)), np.where(known[:, None], t, 0.0)
    state = State.start(lenses, (cam_R, cam_t), board, len(seen.targets.count))
    return state, replace(seen, xy_px=xy)


def _judge(
    seen: Sightings,
    poses: Candidates,
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
        xyz = seen.xyz_board[p][:, None] @ np.swapaxes(board_R, -1, -2) + board_t[:, :, None]
        depth = xyz[..., 2:]
        xy = xyz[..., :2] / np.where(depth > 0, depth, np.nan)
        misfit = np.stack([_misfit(xy, found, depth) for found in _renumbered(xy_norm, seen, q)])
        cost[part], turn[part] = misfit.min(0), misfit.argmin(0)
    return cost, turn


def _renumbered(xy_norm: F64, seen: Sightings, at: Ints) -> Iterator[F64]:
    """Corners of sightings (Q, C, 2) in each numbering; NaN where the board does not have it."""
    target = seen.target[at]
    for k in range(seen.targets.order.shape[1]):
        known = np.isfinite(seen.targets.turn[target, k, 0, 0])
        order = seen.targets.order[target, k]
        xy = np.take_along_axis(xy_norm[at], order[..., None], axis=1)
        # a numbering that the board does not have counts as misfit everywhere
        yield np.where(known[:, None, None], xy, np.where(np.isnan(xy), np.nan, np.inf))


def _misfit(xy: F64, found: F64, depth: F64) -> F64:
    """Sum over corners of a bounded loss, in spreads of the angle that cameras are off by."""
    there = ~np.isnan(found[:, None]).any(-1)
    squared = ((xy - found[:, None]) ** 2).sum(-1) / ANGLE_FLOOR**2
    squared = np.where(depth[..., 0] > 0, squared, np.inf)
    return np.asarray(np.where(there, 1 - 1 / (1 + np.nan_to_num(squared, nan=np.inf)), 0).sum(-1))
