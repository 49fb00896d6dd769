"""Normal equations of a rig and boards, and their solution by the Schur complement.

A board moved in its own frame moves its corners like the camera's frame moved the other way round:
the derivative by the board is that by the camera's pose times a 6 x 6 adjoint. So one Gram matrix
per sighting, of pose, lens, bends and residual, holds everything that Gauss-Newton needs.

Boards are eliminated block by block (each is 6 x 6): the system solved has the size of what the
cameras share only, however many boards were filmed (Triggs et al. 2000, section 6.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from multiview._shapes import F64
from multiview._shapes import BoolArray as Bools
from multiview._shapes import IntArray as Ints
from multiview.calib.layout import Layout
from multiview.calib.problem import (
    POSE,
    Sightings,
    State,
    camera_from_board,
    corner_xyz,
    in_front,
)
from multiview.geometry.camera_jacobian import fill_lens, fill_pose
from multiview.geometry.lens import distort_parts

__all__ = ["Loss", "Normals", "board_normals", "linearise", "reduce_boards", "solve_step"]

# Squared error in units of the noise, to loss and weight.
Loss = Callable[[F64], tuple[F64, F64]]

# What an unpredictable corner (behind the camera, beyond the lens) costs: that many px off.
LOST_PX = 1000.0
# Numbers of the boards' scattered blocks held at once.
BLOCK_NUMBERS = 4_000_000
# Keeps unknowns that nothing measures from being singular.
TINY = 1e-12
# Rounding of a far board's blocks, for turns about a distant camera cancel in them.
ROUNDING = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """Blocks of the normal equations.

    Parameters
    ----------
    H, g
        Of the P shared unknowns, shapes (P, P) and (P,).
    H_board, g_board
        Of the boards, shapes (B, 6, 6) and (B, 6).
    cross, columns
        Shared unknowns by board of each sighting, shape (S, W, 6), and their columns (S, W).
    """

    H: F64
    g: F64
    H_board: F64
    g_board: F64
    cross: F64
    columns: Ints


def linearise(
    state: State, seen: Sightings, use: Bools, sigma_px: F64, layout: Layout, loss: Loss
) -> tuple[float, F64, Normals]:
    """Cost, residuals and normal equations.

    Parameters
    ----------
    state, seen
        Where, and what was measured.
    use
        Corners that take part, shape (S, C).
    sigma_px
        Noise of each camera's corners, shape (V,), pixels.
    layout
        Which unknowns move.
    loss
        Of squared errors in units of the noise.

    Returns
    -------
    tuple
        Sum of the loss; residuals (S, C, 2) in px, NaN where not seen; the blocks.
    """
    P, W = layout.size, POSE + len(layout.terms) + layout.bend.shape[1]
    S, B = len(seen.view), len(state.board_R)
    H, g = np.zeros((P + 1, P + 1)), np.zeros(P + 1)
    cross, columns = np.zeros((S, W, 6)), np.full((S, W), P)
    H_sight, g_sight = np.zeros((S, 6, 6)), np.zeros((S, 6))
    res, cost = np.empty_like(seen.xy_px), 0.0
    for v, part in seen.by_view(len(state.lenses)):
        own, gram, res[part], adjoint = _gram(
            state, seen, v, part, use[part], float(sigma_px[v]), layout, loss
        )
        cost += own
        cross[part] = gram[:, :W, :POSE] @ adjoint
        H_sight[part], g_sight[part] = _by_board(gram, adjoint)
        for target in np.unique(seen.target[part]):
            at = seen.target[part] == target
            cols = layout.columns(v, int(target))
            total = gram[at].sum(0)
            H[np.ix_(cols, cols)] += total[:W, :W]
            g[cols] += total[:W, W]
            columns[part][at] = cols
    H_board, g_board = _summed(seen.board, B, H_sight, g_sight)
    blocks = Normals(
        H=H[:P, :P], g=g[:P], H_board=H_board, g_board=g_board, cross=cross, columns=columns
    )
    return cost, res, blocks


def board_normals(
    state: State, seen: Sightings, use: Bools, sigma_px: F64, loss: Loss
) -> tuple[F64, F64, F64]:
    """Cost (B,), matrix (B, 6, 6) and gradient (B, 6) of every board with the cameras held."""
    S, B = len(seen.view), len(state.board_R)
    cost, H, g = np.zeros(S), np.zeros((S, 6, 6)), np.zeros((S, 6))
    for v, part in seen.by_view(len(state.lenses)):
        rho, gram, _, adjoint = _gram_pose(
            state, seen, v, part, use[part], float(sigma_px[v]), loss
        )
        cost[part] = rho
        H[part], g[part] = _by_board(gram, adjoint)
    total = np.bincount(seen.board, cost, minlength=B).astype(np.float64)
    return total, *_summed(seen.board, B, H, g)


def _by_board(gram: F64, adjoint: F64) -> tuple[F64, F64]:
    turned = np.swapaxes(adjoint, -1, -2)
    H = turned @ gram[:, :POSE, :POSE] @ adjoint
    return H, (turned @ gram[:, :POSE, -1:])[..., 0]


def _summed(board: Ints, boards: int, H: F64, g: F64) -> tuple[F64, F64]:
    order = np.argsort(board, kind="stable")
    present, first = np.unique(board[order], return_index=True)
    H_board, g_board = np.zeros((boards, 6, 6)), np.zeros((boards, 6))
    if len(first):
        H_board[present] = np.add.reduceat(H[order], first)
        g_board[present] = np.add.reduceat(g[order], first)
    return H_board, g_board


def _gram_pose(
    state: State, seen: Sightings, v: int, part: slice, use: Bools, sigma: float, loss: Loss
) -> tuple[F64, F64, F64, F64]:
    """As `_gram`, for the pose alone; the cost is that of each sighting."""
    none = Layout(
        pose=np.full((len(state.lenses), POSE), -1),
        lens=np.full((len(state.lenses), 0), -1),
        bend=np.full((1, 0), -1),
        size=0,
    )
    return _gram_each(state, seen, v, part, use, sigma, none, loss)


def _gram(
    state: State,
    seen: Sightings,
    v: int,
    part: slice,
    use: Bools,
    sigma: float,
    layout: Layout,
    loss: Loss,
) -> tuple[float, F64, F64, F64]:
    rho, gram, res, adjoint = _gram_each(state, seen, v, part, use, sigma, layout, loss)
    return float(rho.sum()), gram, res, adjoint


def _gram_each(
    state: State,
    seen: Sightings,
    v: int,
    part: slice,
    use: Bools,
    sigma: float,
    layout: Layout,
    loss: Loss,
) -> tuple[F64, F64, F64, F64]:
    """One camera's sightings.

    Returns
    -------
    tuple
        Cost (s,), Gram matrices (s, W + 1, W + 1) of derivatives and residual, residuals
        (s, C, 2), and the adjoints (s, 6, 6) that turn a board's steps into the camera's.
    """
    lens = state.lenses[v]
    R, t = camera_from_board(state, seen, v, part)
    xyz = R @ corner_xyz(state, seen, part) + t[..., None]
    x, y, inverse = in_front(xyz)
    parts = distort_parts(x, y, lens.dist, lens.model)
    found = seen.xy_px[part]
    ru = lens.K[0, 0] * parts[0] + lens.K[0, 2] - found[..., 0]
    rv = lens.K[1, 1] * parts[1] + lens.K[1, 2] - found[..., 1]
    res = np.stack([ru, rv], axis=-1)
    squared = (ru * ru + rv * rv) / sigma**2
    lost = np.isnan(squared)
    squared[lost] = (LOST_PX / sigma) ** 2
    rho, weight = loss(squared)
    root = np.where(use & ~lost, np.sqrt(weight), 0.0) / sigma
    if lost.any():  # zero times NaN would be NaN
        parts = tuple(np.where(lost, 0.0, p) for p in parts)
        x, y, inverse = (np.where(lost, 0.0, p) for p in (x, y, inverse))
        ru, rv = np.where(lost, 0.0, ru), np.where(lost, 0.0, rv)
    terms = layout.terms
    bends = seen.targets.bend[seen.target[part]] if layout.bend.shape[1] else None
    W = POSE + len(terms) + layout.bend.shape[1]
    J = np.zeros((len(xyz), W + 1, 2, xyz.shape[-1]))
    fill_pose(J, xyz, (x, y, inverse), parts, root * lens.K[0, 0], root * lens.K[1, 1])
    fill_lens(J[:, POSE : POSE + len(terms)], terms, lens, (x, y), parts, root)
    if bends is not None and (layout.bend >= 0).any():
        rise = np.einsum("skac,sk->sac", J[:, 3:POSE], R[:, :, 2])
        J[:, POSE + len(terms) : W] = rise[:, None] * bends[:, :, None]
    J[:, W, 0], J[:, W, 1] = ru * root, rv * root
    flat = J.reshape(len(J), W + 1, -1)
    return (rho * use).sum(-1), flat @ np.swapaxes(flat, -1, -2), res, _adjoint(R, t)


def _adjoint(R: F64, t: F64) -> F64:
    """Turn steps of boards posed at ``R``, ``t`` into steps of the camera's frame."""
    out = np.zeros((len(R), 6, 6))
    out[:, :3, :3] = out[:, 3:, 3:] = R
    out[:, 3:, :3] = np.cross(t[:, :, None], R, axis=1)
    return out


def _damped(H: F64, damping: float | F64) -> F64:
    """Marquardt's damping."""
    size = np.arange(H.shape[-1])
    out = H.copy()
    diagonal = H[..., size, size]
    out[..., size, size] += np.asarray(damping)[..., None] * diagonal + TINY * (1 + diagonal)
    return out


def _inverse_root(H: F64) -> F64:
    """Return matrices whose squares, transpose first, are the inverses of (B, 6, 6)."""
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(H)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(H)
        values = np.maximum(values, ROUNDING * np.maximum(values[:, -1:], TINY))
        return np.asarray(np.swapaxes(vectors / np.sqrt(values)[:, None], -1, -2))


def reduce_boards(normals: Normals, board: Ints, damping: float) -> tuple[F64, F64, F64, F64]:
    """Schur complement of the boards.

    Parameters
    ----------
    normals, board
        Blocks, and the board of each sighting (S,).
    damping
        Of Marquardt; 0 for the information of the shared unknowns.

    Returns
    -------
    tuple
        Matrix (P, P), right side (P,), and what recovers the boards: inverse roots (B, 6, 6) of
        their blocks and the sightings' blocks times them (S, W, 6).
    """
    P, B = len(normals.g), len(normals.g_board)
    inverse = _inverse_root(_damped(normals.H_board, damping))
    wide = normals.cross @ np.swapaxes(inverse, -1, -2)[board]
    H, rhs = _damped(normals.H, damping), -normals.g.copy()
    moved = np.einsum("bij,bj->bi", inverse, normals.g_board)
    chunk = max(1, BLOCK_NUMBERS // (6 * (P + 1)))
    order = np.argsort(board, kind="stable")
    sorted_board = board[order]
    for first in range(0, B, chunk):
        count = min(chunk, B - first)
        lo, hi = np.searchsorted(sorted_board, [first, first + count])
        at = order[lo:hi]
        where = (normals.columns[at] * count + (board[at] - first)[:, None])[..., None]
        index = (where * 6 + np.arange(6)).ravel()
        size = (P + 1) * count * 6
        block = np.bincount(index, wide[at].ravel(), minlength=size).reshape(P + 1, -1)[:P]
        H -= block @ block.T
        rhs += block @ moved[first : first + count].ravel()
    return H, rhs, inverse, wide


def solve_step(normals: Normals, board: Ints, damping: float) -> tuple[F64, F64] | None:
    """Solve for the shared unknowns (P,) and the boards (B, 6); None where singular."""
    try:
        H, rhs, inverse, wide = reduce_boards(normals, board, damping)
        scale = 1 / np.sqrt(np.maximum(np.diag(H), 1e-300))
        factor = scipy.linalg.cho_factor(H * np.outer(scale, scale), check_finite=False)
    except np.linalg.LinAlgError:
        return None
    shared = scipy.linalg.cho_solve(factor, rhs * scale, check_finite=False) * scale
    along = np.append(shared, 0.0)[normals.columns]
    pulled = np.einsum("swk,sw->sk", wide, along)
    rest = np.einsum("bij,bj->bi", inverse, normals.g_board)
    for k in range(6):
        rest[:, k] += np.bincount(board, pulled[:, k], minlength=len(rest))
    return np.asarray(shared), -np.einsum("bji,bj->bi", inverse, rest)
