"""Cholesky factor, solution and inverse blocks of matrices that couple neighbours in time only.

The matrix has F x F blocks of size n; block (i + k, i) is there for k = 0 ... p only, and is
diagonal for k > 0. The inverse is full, but its blocks within the band follow from each other, last
to first (Takahashi, Fagan and Chen 1973; for p = 1 it is the smoother of Rauch, Tung and Striebel).
"""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64

__all__ = ["factor", "inverse_diagonal", "solve"]


def factor(diagonal: F64, off: F64) -> F64:
    """Cholesky factor of a positive definite block-banded matrix.

    Parameters
    ----------
    diagonal
        Blocks (i, i), shape (F, n, n).
    off
        Diagonals of the blocks (i + k, i), k = 1 ... p, shape (p, F, n).

    Returns
    -------
    F64
        Blocks (i + k, i) of the lower factor, shape (F, p + 1, n, n).

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite.
    """
    from scipy.linalg.blas import dtrsm
    from scipy.linalg.lapack import dpotrf

    frames, n = diagonal.shape[:2]
    p, at = len(off), np.arange(n)
    L = np.zeros((frames, p + 1, n, n))
    for i in range(frames):
        column = L[i]
        column[0] = diagonal[i]
        for k in range(1, p + 1):
            column[k, at, at] = off[k - 1, i]
        for m in range(1, min(p, i) + 1):
            before = L[i - m]
            part = before[m:].reshape(-1, n) @ before[m].T
            column[: p - m + 1] -= part.reshape(-1, n, n)
        column[0], failed = dpotrf(column[0], lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError(f"block {i} is not positive definite")
        # X L' = B, as its transpose in the order that Fortran reads
        rest = column[1:].reshape(-1, n)
        column[1:] = dtrsm(1.0, column[0], rest.T, lower=1).T.reshape(p, n, n)
    return L


def solve(L: F64, b: F64) -> F64:
    """Solve with a factor; ``b`` has shape (F, n)."""
    from scipy.linalg.blas import dtrsm

    frames, bands = L.shape[:2]
    x = b.copy()
    for i in range(frames):
        for m in range(1, min(bands - 1, i) + 1):
            x[i] -= L[i - m, m] @ x[i - m]
        x[i] = dtrsm(1.0, L[i, 0], x[i][:, None], lower=1)[:, 0]
    for i in range(frames - 1, -1, -1):
        for m in range(1, min(bands - 1, frames - 1 - i) + 1):
            x[i] -= L[i, m].T @ x[i + m]
        x[i] = dtrsm(1.0, L[i, 0], x[i][:, None], lower=1, trans_a=1)[:, 0]
    return x


def inverse_diagonal(L: F64) -> F64:
    """Diagonal blocks of the inverse, shape (F, n, n), from a factor."""
    from scipy.linalg.lapack import dtrtri

    frames, bands, n = L.shape[:3]
    p = bands - 1
    out = np.empty((frames, n, n))
    near = np.zeros((p * n, p * n))  # inverse among the p frames that follow
    for i in range(frames - 1, -1, -1):
        root = dtrtri(L[i, 0], lower=1)[0]
        gain = L[i, 1:].reshape(-1, n) @ root
        side = -near @ gain
        out[i] = root.T @ root - gain.T @ side
        out[i] = (out[i] + out[i].T) / 2
        old = near
        near = np.empty_like(old)
        near[:n, :n] = out[i]
        near[n:, :n] = side[: (p - 1) * n]
        near[:n, n:] = near[n:, :n].T
        near[n:, n:] = old[: (p - 1) * n, : (p - 1) * n]
    return out
