"""From relative to absolute rotations: which pairs agree, and what they say together.

Pairs vote on one another in triangles; the tree of the least expected error gives a start; then
rotations are averaged with the loss |error|^(1/2), which ignores pairs that contradict the rest
(Chatterjee and Govindu, PAMI 2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial.transform import Rotation

from multiview._shapes import F64
from multiview.calib.scene_pairs import Pair
from multiview.calib.scene_problem import Ints
from multiview.calib.so3 import exp_so3, rotation_angle

__all__ = ["average_rotations", "contradicting", "groups", "triangle_votes"]

Pairs = Mapping[tuple[int, int], Pair]

# Triangles close within this many of their expected errors, or this floor: detectors are biased by
# their viewpoint, which no covariance of independent noise knows.
CLOSE_SIGMA, CLOSE_FLOOR = 4.0, np.deg2rad(3.0)
# Rounds of the average; with weights |error|^(-3/2) it settles in about ten.
ROUNDS = 25


def groups(pairs: Pairs, views: int) -> Ints:
    """Find the number of the connected group of every camera, shape (V,)."""
    i, j = np.array([k for k in pairs]).reshape(-1, 2).T
    graph = csr_matrix((np.ones(len(i)), (i, j)), shape=(views, views))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def _tolerance(*stds: float) -> float:
    return float(max(CLOSE_FLOOR, CLOSE_SIGMA * np.sqrt(sum(s * s for s in stds))))


def triangle_votes(pairs: Pairs, views: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Count for each pair the triangles that close, and all it is part of."""
    votes = {k: [0, 0] for k in pairs}
    for (i, j), a in pairs.items():
        for k in range(j + 1, views):
            if (j, k) not in pairs or (i, k) not in pairs:
                continue
            b, c = pairs[j, k], pairs[i, k]
            angle = float(rotation_angle(b.R @ a.R @ c.R.T))
            closes = angle < _tolerance(a.rotation_std, b.rotation_std, c.rotation_std)
            for edge in ((i, j), (j, k), (i, k)):
                votes[edge][0] += closes
                votes[edge][1] += 1
    return {k: (v[0], v[1]) for k, v in votes.items()}


def average_rotations(pairs: Pairs, views: int) -> F64:
    """Rotations ``cam_from_world`` (V, 3, 3) of a connected graph; the first camera's is 1."""
    votes = triangle_votes(pairs, views)
    cost = {k: float(np.hypot(p.rotation_std, _doubt(*votes[k]))) for k, p in pairs.items()}
    R = _along_tree(pairs, cost, views)
    i, j = np.array(list(pairs)).T
    R_ij = np.stack([p.R for p in pairs.values()])
    std = np.array([max(p.rotation_std, 1e-6) for p in pairs.values()])
    for _ in range(ROUNDS):
        off = R_ij @ R[i] @ np.swapaxes(R[j], -1, -2)
        r = Rotation.from_matrix(off).as_rotvec()
        size = np.linalg.norm(r, axis=-1)
        # weights of |r / std|^(1/2), bounded where the error is as small as can be expected
        weight = np.maximum(size / std, 1.0) ** -1.5 / std**2
        step = _rotation_step(i, j, R_ij, r, weight, views)
        R = exp_so3(step) @ R
        if np.abs(step).max() < 1e-7:
            break
    return np.asarray(R @ R[0].T)


def _doubt(closed: int, total: int) -> float:
    """Return the expected error (rad) of a pair as far as it may be wrong: then a radian."""
    return (total - closed) / (total + 1.0)


def _along_tree(pairs: Pairs, cost: dict[tuple[int, int], float], views: int) -> F64:
    i, j = np.array(list(pairs)).T
    weights = np.array([max(cost[k], 1e-9) for k in pairs])
    tree = minimum_spanning_tree(csr_matrix((weights, (i, j)), shape=(views, views)))
    order, parent = breadth_first_order(tree, 0, directed=False)
    R = np.tile(np.eye(3), (views, 1, 1))
    for b in order[1:].tolist():
        a = int(parent[b])
        R[b] = (pairs[a, b].R if (a, b) in pairs else pairs[b, a].R.T) @ R[a]
    return R


def _rotation_step(i: Ints, j: Ints, R_ij: F64, r: F64, weight: F64, views: int) -> F64:
    """Solve ``w_j - R_ij w_i = r`` by weighted least squares, the first camera held; (V, 3)."""
    A = np.zeros((len(i), 3, views, 3))
    rows = np.arange(len(i))
    A[rows, :, j] = np.eye(3)
    A[rows, :, i] = -R_ij
    root = np.sqrt(weight)[:, None]
    flat = (A * root[:, :, None, None]).reshape(-1, 3 * views)[:, 3:]
    step = np.linalg.lstsq(flat, (r * root).ravel(), rcond=None)[0]
    return np.concatenate([np.zeros((1, 3)), step.reshape(-1, 3)])


def contradicting(pairs: Pairs, R: F64) -> dict[tuple[int, int], float]:
    """Pairs that contradict the averaged rotations, with the angle in radians."""
    out = {}
    for (i, j), pair in pairs.items():
        angle = float(rotation_angle(pair.R @ R[i] @ R[j].T))
        if angle > _tolerance(pair.rotation_std):
            out[i, j] = angle
    return out
