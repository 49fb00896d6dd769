"""Essential matrices from five rays, many samples at once (Stewénius et al., ISPRS 2006).

The matrix is x E1 + y E2 + z E3 + E4 of the samples' null space; its ten cubic constraints are
brought to the form "cubic monomial = quadratics", which gives the multiplication by x as a 10 x 10
matrix whose eigenvectors hold the solutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from multiview._shapes import F64

__all__ = ["five_point"]

Exponents = Sequence[tuple[int, ...]]

# Exponents of x, y, z in the orders that the elimination needs.
_LINEAR = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
_QUADRATIC = [
    (2, 0, 0), (1, 1, 0), (0, 2, 0), (1, 0, 1), (0, 1, 1), (0, 0, 2),
    (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0),
]  # fmt: skip
_CUBIC = [
    (3, 0, 0), (2, 1, 0), (1, 2, 0), (0, 3, 0), (2, 0, 1),
    (1, 1, 1), (0, 2, 1), (1, 0, 2), (0, 1, 2), (0, 0, 3),
]  # fmt: skip
# Imaginary part, relative to the modulus, of a solution that counts as real.
REAL = 1e-6


def _products(left: Exponents, right: Exponents, out: Exponents) -> F64:
    """Tensor that multiplies polynomials: out[k] = sum T[i, j, k] left[i] right[j]."""
    at = {exponents: k for k, exponents in enumerate(out)}
    T = np.zeros((len(left), len(right), len(out)))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            T[i, j, at[tuple(m + n for m, n in zip(a, b, strict=True))]] = 1
    return T


_TO_QUADRATIC = _products(_LINEAR, _LINEAR, _QUADRATIC)
_TO_CUBIC = _products(_QUADRATIC, _LINEAR, _CUBIC + _QUADRATIC)
# x times (x2, xy, y2, xz, yz, z2) are these cubics; x times (x, y, z, 1) these quadratics.
_X_CUBIC, _X_QUADRATIC = [0, 1, 2, 4, 5, 7], [0, 1, 3, 6]


def five_point(first: F64, second: F64) -> F64:
    """Essential matrices with ``second^T E first = 0`` from five correspondences.

    Parameters
    ----------
    first, second
        Rays with z = 1, shape (S, 5, 2): S samples.

    Returns
    -------
    F64
        Solutions of all samples together, shape (T, 3, 3), unit Frobenius norm; up to ten each.
    """
    a = np.concatenate([first, np.ones_like(first[..., :1])], -1)
    b = np.concatenate([second, np.ones_like(second[..., :1])], -1)
    rows = (b[..., :, None] * a[..., None, :]).reshape(len(a), 5, 9)
    basis = np.linalg.svd(rows)[2][:, 5:].reshape(-1, 4, 3, 3)
    E = np.moveaxis(basis, 1, -1)  # (S, 3, 3, 4): linear polynomials
    constraints = _constraints(E)
    left, right = constraints[:, :, :10], constraints[:, :, 10:]
    good = np.abs(np.linalg.det(left)) > 1e-14
    if not good.any():
        return np.zeros((0, 3, 3))
    solved = np.linalg.solve(left[good], right[good])
    action = np.zeros((int(good.sum()), 10, 10))
    action[:, :6] = -solved[:, _X_CUBIC]
    action[:, np.arange(6, 10), _X_QUADRATIC] = 1
    values, vectors = np.linalg.eig(action)
    real = np.abs(values.imag) < REAL * (1 + np.abs(values))
    sample, which = np.nonzero(real)
    xyzw = vectors[sample, 6:, which].real
    out = np.einsum("tk,tkij->tij", xyzw, basis[good][sample])
    size = np.linalg.norm(out, axis=(-2, -1))
    keep = size > 1e-12
    return np.asarray(out[keep] / size[keep, None, None])


def _constraints(E: F64) -> F64:
    """Ten cubics (S, 10, 20) that vanish where (S, 3, 3, 4) is an essential matrix."""
    EEt = np.zeros((len(E), 3, 3, 10))
    for i, j in combinations_with_replacement(range(3), 2):
        EEt[:, i, j] = EEt[:, j, i] = _multiply(E[:, i], E[:, j], _TO_QUADRATIC).sum(1)
    trace = np.einsum("siik->sk", EEt)
    eye = np.eye(3)[None, :, :, None]
    L = EEt - 0.5 * trace[:, None, None] * eye
    cubic = np.zeros((len(E), 3, 3, 20))
    for i in range(3):
        for j in range(3):
            cubic[:, i, j] = _multiply(L[:, i], E[:, :, j], _TO_CUBIC).sum(1)
    minor = [
        _multiply(E[:, 1, (k + 1) % 3], E[:, 2, (k + 2) % 3], _TO_QUADRATIC)
        - _multiply(E[:, 1, (k + 2) % 3], E[:, 2, (k + 1) % 3], _TO_QUADRATIC)
        for k in range(3)
    ]
    det = sum(_multiply(minor[k], E[:, 0, k], _TO_CUBIC) for k in range(3))
    return np.concatenate([cubic.reshape(len(E), 9, 20), np.asarray(det)[:, None]], 1)


def _multiply(left: F64, right: F64, table: F64) -> F64:
    return np.asarray(np.einsum("...i,...j,ijk->...k", left, right, table, optimize=True))
