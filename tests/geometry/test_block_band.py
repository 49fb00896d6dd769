"""Block-banded factor, solution and inverse against the dense ones of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.geometry.block_band import factor, inverse_diagonal, solve

FRAMES, N = 9, 4


def system(bands: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(bands)
    off, diagonal = rng.normal(size=(bands, FRAMES, N)), np.empty((FRAMES, N, N))
    whole = np.zeros((FRAMES, N, FRAMES, N))
    for i in range(FRAMES):
        root = rng.normal(size=(N, N))
        # more than the bands can take away
        diagonal[i] = root @ root.T + 4 * bands * np.eye(N)
        whole[i, :, i] = diagonal[i]
        for k in range(1, min(bands, FRAMES - 1 - i) + 1):
            whole[i + k, :, i] = whole[i, :, i + k] = np.diag(off[k - 1, i])
    return diagonal, off, whole.reshape(FRAMES * N, -1)


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_solution_and_inverse_are_the_dense_ones(bands: int) -> None:
    diagonal, off, whole = system(bands)
    b = np.random.default_rng(9).normal(size=(FRAMES, N))
    L = factor(diagonal, off)
    np.testing.assert_allclose(solve(L, b).ravel(), np.linalg.solve(whole, b.ravel()), atol=1e-12)
    inverse = np.linalg.inv(whole).reshape(FRAMES, N, FRAMES, N)
    own = np.stack([inverse[i, :, i] for i in range(FRAMES)])
    np.testing.assert_allclose(inverse_diagonal(L), own, atol=1e-12)


def test_what_is_not_positive_is_refused() -> None:
    diagonal, off, _ = system(2)
    diagonal[5] = -np.eye(N)
    with pytest.raises(np.linalg.LinAlgError, match="block 5"):
        factor(diagonal, off)
