"""Rotations in bulk: exponential, angle, mean. Leading axes are free."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64

__all__ = ["exp_so3", "mean_rotation", "nearest_rotation", "rotation_angle"]


def exp_so3(w: F64) -> F64:
    """Rotation vectors (..., 3), radians, to matrices (..., 3, 3) (Rodrigues' formula)."""
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    W = np.zeros((*w.shape[:-1], 3, 3))
    W[..., 0, 1], W[..., 0, 2], W[..., 1, 2] = -w[..., 2], w[..., 1], -w[..., 0]
    W = W - np.swapaxes(W, -1, -2)
    # np.sinc is sin(pi x) / (pi x): finite at zero
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + a * W + b * (W @ W))


def rotation_angle(R: F64) -> F64:
    """Angle of rotations (..., 3, 3), radians; accurate for small ones too."""
    # |R - 1|_F = 2 sqrt(2) |sin(angle / 2)|; arccos of the trace loses half the digits near 0
    chord = np.linalg.norm(R - np.eye(3), axis=(-2, -1)) / np.sqrt(8)
    return np.asarray(2 * np.arcsin(np.clip(chord, 0, 1)))


def nearest_rotation(M: F64) -> F64:
    """Rotation closest to each matrix (..., 3, 3) in the Frobenius norm."""
    U, _, Vt = np.linalg.svd(M)
    sign = np.ones(M.shape[:-1])
    sign[..., 2] = np.sign(np.linalg.det(U @ Vt))
    return np.asarray((U * sign[..., None, :]) @ Vt)


def mean_rotation(R: F64, weight: F64) -> F64:
    """Weighted chordal mean of rotations (N, 3, 3) (Hartley et al., IJCV 2013)."""
    return nearest_rotation(np.einsum("n,nij->ij", weight, R))
