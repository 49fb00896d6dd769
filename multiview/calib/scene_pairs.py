"""Relative pose of two cameras from common points: robust, refined, with its covariance.

Samples of five rays are scored a contrario (Moisan and Stival, IJCV 2004): the threshold is the one
at which the agreement is least likely to be chance, so that no noise level has to be known. The
best hypotheses are refined on Sampson's error with Cauchy's loss. Two degeneracies are told apart:
too little parallax, and points that a homography explains too (a plane, or too little relief).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import gammaln

from multiview._shapes import F64
from multiview.calib.bundle import CAUCHY_SIGMA, NOISE_FLOOR_PX
from multiview.calib.scene_five_point import five_point
from multiview.calib.scene_problem import Bools
from multiview.calib.scene_sampson import (
    cross_matrix,
    homogeneous,
    refine_pair,
    sampson_px,
    spread,
)

__all__ = ["Pair", "estimate_pair", "pair_depths"]

# Correspondences that hypotheses are scored on, that the better ones are refined on to find the
# best, and that this one is refined on.
SCORED, RANKED, REFINED = 250, 120, 500
# Samples drawn at a time and in all: with 50 % inliers a pair, 220 samples hold a clean one with
# 99.9 %, with 40 %, 670.
BATCH, MOST, CONFIDENCE = 30, 720, 0.999
# Hypotheses that are refined.
KEPT = 6
# Distance of the rotations that are tried for cameras that look at the same place.
GRID = np.deg2rad(30.0)
# Fewer common points leave a pose to chance: five are a sample, and as many must confirm it.
MIN_SHARED = 20
# log10 of the number of chance agreements as good as this that may be expected.
MEANINGFUL = -5.0
# Rays of a usable pair meet at this angle in the median.
MIN_PARALLAX = np.deg2rad(2.0)
# A homography explains the pair if its median error is below this many sigmas: errors of a plane's
# points have length 1.18 sigma in the median in each picture, 1.67 as a difference of two.
PLANAR_SIGMA = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Pose of the second camera from the first.

    Parameters
    ----------
    R, t
        ``second_from_first``, t of unit length.
    cov
        Of rotation (rad, left perturbation) and of t along its two tangents, shape (5, 5).
    inlier
        Correspondences that agree, shape (n,).
    sigma_px
        Noise normal to the epipolar lines, pixels.
    parallax
        Median angle at which rays meet, radians.
    planar
        Whether a homography explains the points as well: the pose then has a double.
    """

    R: F64
    t: F64
    cov: F64
    inlier: Bools
    sigma_px: float
    parallax: float
    planar: bool

    @property
    def shallow(self) -> bool:
        """Whether the pair tells no depth: a plane, little relief, or hardly any parallax."""
        return self.planar or self.parallax < MIN_PARALLAX

    @property
    def rotation_std(self) -> float:
        """Expected error of the rotation, radians."""
        return float(np.sqrt(np.trace(self.cov[:3, :3])))


def _surprise(error_px: F64, size_px: tuple[float, float]) -> tuple[F64, F64]:
    """log10 of the expected chance agreements (H,) of errors (H, n), and their threshold."""
    n = error_px.shape[-1]
    ordered = np.sort(np.abs(error_px), axis=-1)[:, 5:]
    k = np.arange(6, n + 1)
    width, height = size_px
    share = np.clip(2 * ordered * np.hypot(width, height) / (width * height), 1e-12, 1)
    ways = gammaln(n + 1) - gammaln(n - k + 1) - gammaln(6) - gammaln(k - 4)
    nfa = (np.log(10 * (n - 5)) + ways + (k - 5) * np.log(share)) / np.log(10)
    best = nfa.argmin(-1)
    rows = np.arange(len(nfa))
    return np.asarray(nfa[rows, best]), np.asarray(ordered[rows, best])


def _hypotheses(
    first: F64, second: F64, px: tuple[float, float], size: tuple[float, float], seed: int
) -> list[tuple[float, float, F64]]:
    """Best essential matrices with their surprise and threshold, from random samples."""
    rng = np.random.default_rng(seed)
    n = len(first)
    part = rng.permutation(n)[:SCORED]
    grid = _towards(first, second)
    best = _best([], grid, sampson_px(grid, first[part], second[part], px), size)
    drawn, needed = 0, float(MOST)
    while drawn < min(MOST, needed):
        sample = rng.random((BATCH, n)).argpartition(5, axis=1)[:, :5] if n > 5 else None
        if sample is None:
            break
        E = five_point(first[sample], second[sample])
        drawn += BATCH
        if not len(E):
            continue
        error = sampson_px(E, first[part], second[part], px)
        best = _best(best, E, error, size)
        inliers = np.abs(sampson_px(best[0][2], first[part], second[part], px)) <= best[0][1]
        share = float(np.mean(inliers))
        needed = np.log(1 - CONFIDENCE) / np.log(max(1 - share**5, 1e-12))
    return best


def _best(
    known: list[tuple[float, float, F64]], E: F64, error: F64, size: tuple[float, float]
) -> list[tuple[float, float, F64]]:
    """Add hypotheses with their errors to those that are known; keep the least likely chances."""
    surprise, threshold = _surprise(error, size)
    first = surprise.argsort()[:KEPT]
    known = known + [(float(surprise[h]), float(threshold[h]), E[h]) for h in first]
    return sorted(known, key=lambda b: b[0])[:KEPT]


def _towards(first: F64, second: F64) -> F64:
    """Essential matrices of cameras that look at the same place, from all rotations, (G, 3, 3).

    Far away and small, as a hand is, points tell little to five rays; but then both cameras see
    them about the middle of their volume, which leaves only the rotation to be tried.
    """
    a, b = np.append(np.median(first, 0), 1.0), np.append(np.median(second, 0), 1.0)
    far = float(np.clip(first.std() / max(float(second.std()), 1e-12), 0.5, 2.0))
    t = far * b - _ROTATIONS @ a
    size = np.linalg.norm(t, axis=-1, keepdims=True)
    t = t / np.where(size > 1e-9, size, 1.0)
    skew = np.cross(np.eye(3), t[:, None])
    return np.asarray(skew @ _ROTATIONS)


def _rotation_grid(step: float) -> F64:
    """Rotations about ``step`` radians apart, evenly over all, shape (G, 3, 3).

    Unit quaternions by Shoemake's three angles.
    """
    n = round(2 * np.pi / step)
    w = (np.arange(max(n // 4, 1)) + 0.5) / max(n // 4, 1)
    angle = 2 * np.pi * np.arange(n) / n
    w, a, b = (x.ravel() for x in np.meshgrid(w, angle, angle, indexing="ij"))
    low, high = np.sqrt(1 - w), np.sqrt(w)
    quaternion = np.stack(
        [low * np.sin(a), low * np.cos(a), high * np.sin(b), high * np.cos(b)], -1
    )
    return np.asarray(Rotation.from_quat(quaternion[quaternion[:, 3] >= 0]).as_matrix())


_ROTATIONS = _rotation_grid(GRID)


def pair_depths(R: F64, t: F64, first: F64, second: F64) -> tuple[F64, F64]:
    """Depths of points (n,) in both cameras, in lengths of t."""
    turned, b = homogeneous(first) @ R.T, homogeneous(second)
    normal = np.cross(b, turned)
    square = np.maximum((normal**2).sum(-1), 1e-300)
    z1 = -(normal * np.cross(b, t)).sum(-1) / square
    z2 = ((z1[:, None] * turned + t) * b).sum(-1) / (b**2).sum(-1)
    return np.asarray(z1), np.asarray(z2)


def _decompose(E: F64, first: F64, second: F64) -> tuple[F64, F64]:
    """Rotation and unit translation of E that put most points before both cameras."""
    U, _, Vt = np.linalg.svd(E)
    U, Vt = U * np.sign(np.linalg.det(U)), Vt * np.sign(np.linalg.det(Vt))
    W = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    best, answer = -1, (np.eye(3), U[:, 2])
    for R in (U @ W @ Vt, U @ W.T @ Vt):
        for t in (U[:, 2], -U[:, 2]):
            z1, z2 = pair_depths(R, t, first, second)
            count = int(((z1 > 0) & (z2 > 0)).sum())
            if count > best:
                best, answer = count, (R, t)
    return answer


def estimate_pair(
    first: F64,
    second: F64,
    px: tuple[float, float],
    size_px: tuple[float, float],
    *,
    seed: int = 0,
) -> Pair | None:
    """Find the relative pose of two cameras.

    Parameters
    ----------
    first, second
        Rays of the same points, z = 1, shape (n, 2).
    px
        Focal lengths, pixels.
    size_px
        Size of the second picture.
    seed
        Of the samples: the same input gives the same answer.

    Returns
    -------
    Pair or None
        None where too few points are shared or their agreement may be chance.
    """
    n = len(first)
    if n < MIN_SHARED:
        return None
    found = [h for h in _hypotheses(first, second, px, size_px, seed) if h[0] < MEANINGFUL]
    if not found:
        return None
    part = np.random.default_rng(seed + 1).permutation(n)[:REFINED]
    few = part[:RANKED]
    answers = []
    for _, threshold, E in found:
        good = np.abs(sampson_px(E, first[few], second[few], px)) <= threshold
        R, t = _decompose(E, first[few][good], second[few][good])
        sigma = max(threshold / 2.5, NOISE_FLOOR_PX)
        answers.append(refine_pair(R, t, first[few], second[few], px, sigma))
    # costs are comparable only in the same units: count what each explains at the least noise
    sigma = min(a[4] for a in answers)
    R, t, *_ = max(
        answers, key=lambda a: _explained(a[0], a[1], first[part], second[part], px, sigma)
    )
    R, t, cov, *_ = refine_pair(R, t, first[part], second[part], px, sigma)
    return _finish(R, t, cov, first, second, px)


def _explained(
    R: F64, t: F64, first: F64, second: F64, px: tuple[float, float], sigma: float
) -> float:
    """Points before both cameras that agree, the better the more."""
    error = sampson_px(cross_matrix(t) @ R, first, second, px) / sigma / CAUCHY_SIGMA
    z1, z2 = pair_depths(R, t, first, second)
    return float((((z1 > 0) & (z2 > 0)) / (1 + error**2)).sum())


def _finish(
    R: F64, t: F64, cov: F64, first: F64, second: F64, px: tuple[float, float]
) -> Pair | None:
    error = sampson_px(cross_matrix(t) @ R, first, second, px)
    z1, z2 = pair_depths(R, t, first, second)
    ahead = (z1 > 0) & (z2 > 0)
    sigma = max(spread(error), NOISE_FLOOR_PX)
    inlier = ahead & (np.abs(error) < 3 * sigma)
    if inlier.sum() < MIN_SHARED // 2:
        return None
    turned, b = homogeneous(first[inlier]) @ R.T, homogeneous(second[inlier])
    cosine = (turned * b).sum(-1) / np.linalg.norm(turned, axis=-1) / np.linalg.norm(b, axis=-1)
    return Pair(
        R=R,
        t=t,
        cov=cov,
        inlier=np.asarray(inlier),
        sigma_px=sigma,
        parallax=float(np.median(np.arccos(np.clip(cosine, -1, 1)))),
        planar=_homography_error(first[inlier], second[inlier], px[1]) < PLANAR_SIGMA * sigma,
    )


def _homography_error(first: F64, second: F64, px: float) -> float:
    """Median transfer error of the homography that fits rays best, pixels."""
    a = (first - first.mean(0)) / max(float(first.std()), 1e-12)
    b = (second - second.mean(0)) / max(float(second.std()), 1e-12)
    rows = np.zeros((len(a), 2, 9))
    h = homogeneous(a)
    rows[:, 0, :3], rows[:, 0, 6:] = h, -b[:, :1] * h
    rows[:, 1, 3:6], rows[:, 1, 6:] = h, -b[:, 1:] * h
    H = np.linalg.svd(rows.reshape(-1, 9), full_matrices=False)[2][-1].reshape(3, 3)
    moved = h @ H.T
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.linalg.norm(moved[:, :2] / moved[:, 2:] - b, axis=-1)
    return float(np.nanmedian(error) * max(float(second.std()), 1e-12) * px)
