"""The most probable paths of a hand's keypoints: views, smoothness and bones at once.

Unknowns are all places, F x K x 3. The terms are the reprojection errors on recorded pixels, the
third differences of every path (each with its own variance, from `multiview.smoothing.motion`), and
the lengths of the bones. Gauss-Newton: every round linearises all cameras anew and solves one
block-banded system (`multiview.geometry.block_band`), in windows that overlap by more than a
smoother looks, so that memory does not grow with the take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Rig
from multiview.geometry.block_band import factor, inverse_diagonal, solve
from multiview.geometry.robust import LIMIT, SOFT
from multiview.geometry.threads import over_blocks
from multiview.smoothing.bones import Bones, add_bones

__all__ = ["ORDER", "Path", "Views", "divided_differences", "find_path"]

# Differences that vary at random: the third, of a path whose acceleration wanders.
ORDER = 3
# Frames solved at once: 75 MB for a hand.
WINDOW = 500
# Rounds at most, and the step, in standard deviations, that changes nothing any more.
ROUNDS, SMALL = 8, 1e-3


@dataclass(frozen=True, slots=True)
class Views:
    """What the cameras say of one hand.

    Parameters
    ----------
    rig
        V cameras.
    xy_px
        Recorded pixels, shape (V, F K, 2).
    sigma_px
        Noise of each camera, shape (V,).
    role
        How each observation counts (`multiview.geometry.compiled.path`), shape (V, F K).
    """

    rig: Rig
    xy_px: F64
    sigma_px: F64
    role: np.ndarray

    def terms(self, xyz: F64) -> tuple[F64, F64, F64]:
        """Information (F, K, 3, 3), gradient (F, K, 3) and weights (V, F K) at some places."""
        from multiview.geometry.compiled.lens import pack_cameras
        from multiview.geometry.compiled.path import add_views

        flat = np.ascontiguousarray(xyz.reshape(-1, 3))
        H, g = np.empty((len(flat), 3, 3)), np.empty((len(flat), 3))
        weight = np.empty(self.role.shape)
        given = (pack_cameras(self.rig)[0], flat, self.xy_px, self.sigma_px, self.role)
        over_blocks(lambda a, b: add_views(*given, LIMIT**2, SOFT, a, b, H, g, weight), len(flat))
        return H.reshape(*xyz.shape, 3), g.reshape(xyz.shape), weight


@dataclass(frozen=True, slots=True)
class Path:
    """The result.

    Parameters
    ----------
    xyz, cov
        Places (F, K, 3) and covariances (F, K, 3, 3); meaningless where not active.
    weight
        Of every observation, shape (V, F K).
    step
        Last step of the worst point, standard deviations.
    """

    xyz: F64
    cov: F64
    weight: F64
    step: float


def divided_differences(times: F64) -> F64:
    """Coefficients (F - 3, 4) that turn four places in a row into their mean third derivative."""
    t = np.stack([times[a : len(times) - ORDER + a] for a in range(ORDER + 1)], -1)
    apart = t[:, :, None] - t[:, None, :]
    apart[:, np.arange(ORDER + 1), np.arange(ORDER + 1)] = 1.0
    return np.asarray(6.0 / apart.prod(-1))


@dataclass(frozen=True, slots=True)
class _Prior:
    """Smoothness: coefficients (F - 3, 4) and weights (F - 3, K) of every third difference."""

    c: F64
    w: F64

    def bands(self, frames: int) -> F64:
        """Its matrix: diagonal and three bands beside it, shape (4, F, K)."""
        out = np.zeros((ORDER + 1, frames, self.w.shape[1]))
        n = len(self.c)
        for k in range(ORDER + 1):
            for a in range(ORDER + 1 - k):
                out[k, a : a + n] += self.w * (self.c[:, a] * self.c[:, a + k])[:, None]
        return out

    def gradient(self, xyz: F64) -> F64:
        """Towards smoother paths, shape (F, K, 3)."""
        n, out = len(self.c), np.zeros_like(xyz)
        e = sum(self.c[:, a, None, None] * xyz[a : a + n] for a in range(ORDER + 1))
        for a in range(ORDER + 1):
            out[a : a + n] -= (self.w * self.c[:, a, None])[..., None] * e
        return out


def find_path(
    views: Views,
    xyz: F64,
    active: BoolArray,
    times: F64,
    precision: F64,
    bones: Bones | None,
    overlap: int,
) -> Path:
    """Find the most probable paths.

    Parameters
    ----------
    views
        The observations.
    xyz
        Start, shape (F, K, 3); finite where active.
    active
        Which places are looked for, shape (F, K).
    times
        Shape (F,), increasing.
    precision
        Weight of every third derivative, shape (F - 3, K); used where four places in a row are
        active.
    bones
        Lengths that are kept, or none.
    overlap
        Frames that windows share with their neighbours on either side.
    """
    n = len(xyz) - ORDER
    whole = np.logical_and.reduce([active[a : a + n] for a in range(ORDER + 1)])
    prior = _Prior(divided_differences(times), np.where(whole, precision, 0.0))
    system = _System(views, active, prior, prior.bands(len(xyz)), bones, overlap)
    xyz = np.where(active[..., None], xyz, 0.0)
    sd = np.full(active.shape, np.inf)
    size = np.inf
    for _ in range(ROUNDS):
        H, g, _ = views.terms(xyz)
        step = system.step(xyz, H, g)
        xyz = xyz + step
        sd = np.sqrt(1 / np.maximum(np.einsum("fkii->fk", H) / 3, 1e-300))
        size = float((np.abs(step).max(-1) / sd)[active].max(initial=0.0))
        if size < SMALL:
            break
    H, _, weight = views.terms(xyz)
    return Path(xyz, system.covariance(xyz, H), weight, size)


@dataclass(frozen=True, slots=True)
class _System:
    views: Views
    active: BoolArray
    prior: _Prior
    bands: F64
    bones: Bones | None
    overlap: int

    def step(self, xyz: F64, H: F64, g: F64) -> F64:
        """One step of Gauss-Newton, shape (F, K, 3)."""
        b = g + self.prior.gradient(xyz)
        out = np.zeros_like(xyz)
        for wide, core, inner in self._windows(len(xyz)):
            blocks, right = self._blocks(xyz, H, b, wide)
            found = solve(factor(blocks, self._off(wide)), right)
            out[core] = found[inner].reshape(-1, *xyz.shape[1:])
        return out

    def covariance(self, xyz: F64, H: F64) -> F64:
        """Covariance of every place, shape (F, K, 3, 3)."""
        out, k = np.empty_like(H), np.arange(H.shape[1])
        for wide, core, inner in self._windows(len(xyz)):
            blocks, _ = self._blocks(xyz, H, np.zeros_like(xyz), wide)
            inverse = inverse_diagonal(factor(blocks, self._off(wide)))[inner]
            split = inverse.reshape(len(inverse), len(k), 3, len(k), 3)
            out[core] = split[:, k, :, k, :].transpose(1, 0, 2, 3)
        return out

    def _windows(self, frames: int) -> Iterator[tuple[slice, slice, slice]]:
        """Frames to solve, frames to keep, and where these are in those."""
        for start in range(0, frames, WINDOW):
            stop = min(start + WINDOW, frames)
            first, last = max(start - self.overlap, 0), min(stop + self.overlap, frames)
            yield slice(first, last), slice(start, stop), slice(start - first, stop - first)

    def _blocks(self, xyz: F64, H: F64, b: F64, part: slice) -> tuple[F64, F64]:
        on = self.active[part]
        frames, k = on.shape
        blocks = np.zeros((frames, k, 3, k, 3))
        at, axis = np.arange(k), np.arange(3)
        blocks[:, at, :, at, :] = np.where(on[..., None, None], H[part], 0.0).transpose(1, 0, 2, 3)
        own = np.where(on, self.bands[0, part], 1.0)
        blocks[:, at[:, None], axis, at[:, None], axis] += own[..., None]
        right = np.where(on[..., None], b[part], 0.0)
        if self.bones is not None:
            add_bones(self.bones, xyz[part], on, blocks, right)
        return blocks.reshape(frames, 3 * k, 3 * k), right.reshape(frames, 3 * k)

    def _off(self, part: slice) -> F64:
        return np.repeat(self.bands[1:, part], 3, axis=-1)


def runs(on: BoolArray) -> Iterator[tuple[int, int]]:
    """Start and stop of every stretch of True."""
    edge: IntArray = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    yield from ((int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True))
