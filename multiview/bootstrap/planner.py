"""How many views, how many of them must agree, and how well a point is then known.

Derived in Simon et al. 2017, section 3, and carried on: V independent views each hit the keypoint
with probability p, wrong detections are uniform in the crop. The formulas for chance agreement are
those of `multiview.geometry.uncertainty`; triangulation uses the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, log, sqrt

from multiview.errors import InputError
from multiview.geometry.uncertainty import min_agreeing_views, spurious_sets

__all__ = [
    "MAX_VIEWS",
    "RIGHT_WITHIN",
    "Detector",
    "Plan",
    "Targets",
    "expected_error",
    "isotropic_error",
    "plan_views",
    "smallest_rig",
    "true_positive_rate",
]

# Rigs beyond this are not looked for.
MAX_VIEWS = 200
# The threshold in standard deviations of a right detection's noise that one in a hundred exceeds.
RIGHT_WITHIN = sqrt(-2 * log(1e-2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What a detector does in one view.

    Parameters
    ----------
    rate
        Probability p that a view's detection is within ``sigma_px`` of the truth: PCK there. With
        ``points`` above 1, that the mean of their errors is.
    sigma_px
        Threshold within which views agree, pixels.
    crop_px
        Width w of the square in which wrong detections lie, pixels: the crop of the hand.
    points
        Points judged together: 1, or 4 of a finger (as if their errors were independent).
    noise_px
        Standard deviation of one coordinate of a right detection, pixels; None takes it from the
        threshold, which one right detection in a hundred exceeds.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    rate: float
    sigma_px: float
    crop_px: float
    points: int = 1
    noise_px: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise InputError(f"the hit rate is {self.rate}", "give a PCK between 0 and 1")
        if not 0 < self.sigma_px < self.crop_px:
            raise InputError(
                f"the threshold is {self.sigma_px} px in a crop of {self.crop_px} px",
                "give a threshold above 0 and below the width of the crop",
            )
        if self.points < 1 or (self.noise_px is not None and not self.noise_px > 0):
            raise InputError(
                f"{self.points} points and a noise of {self.noise_px} px mean nothing",
                "give at least one point and a noise above 0",
            )

    @property
    def noise(self) -> float:
        """Standard deviation of one coordinate of a right detection, pixels."""
        return self.sigma_px / RIGHT_WITHIN if self.noise_px is None else self.noise_px

    def agree(self, views: int, allowed: float) -> int:
        """Say how many views must agree so that chance does it at most ``allowed`` times."""
        return min_agreeing_views(
            views, self.rate, self.sigma_px, self.crop_px, allowed, self.points
        )

    def spurious(self, views: int, agree: int) -> float:
        """Expect this many sets of ``agree`` and more wrong detections to agree by chance."""
        return spurious_sets(views, agree, self.rate, self.sigma_px, self.crop_px, self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a rig shall reach: share of keypoints found, and chance sets a keypoint and frame."""

    found: float = 0.9
    spurious: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.found < 1 or not self.spurious > 0:
            raise InputError(
                f"targets: found {self.found}, spurious {self.spurious}",
                "give a share between 0 and 1, and a number above 0",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A number of views and what to expect of it.

    Parameters
    ----------
    views, agree
        V, and the smallest safe n.
    found
        Probability that at least n views are right: the true positive rate.
    spurious
        Sets of n and more wrong detections expected to agree, a keypoint and frame.
    inliers
        Right views of a keypoint that is found, expected.
    error_px
        Root mean square 3D error of a keypoint that is found, in pixels at its distance (times
        distance over focal length: metres); inf where less than two views agree.
    """

    views: int
    agree: int
    found: float
    spurious: float
    inliers: float
    error_px: float


def true_positive_rate(views: int, agree: int, rate: float) -> float:
    """Probability that at least ``agree`` of independent views hit, each with ``rate``."""
    return sum(_hits(views, k, rate) for k in range(agree, views + 1))


def _hits(views: int, k: int, rate: float) -> float:
    return float(comb(views, k) * rate**k * (1 - rate) ** (views - k))


def isotropic_error(views: float, noise: float) -> float:
    """3D error of N views spread over all directions, root mean square: ``3 / sqrt(2 N) s``.

    One view tells the two coordinates across its ray, and the mean over directions of what it
    tells is 2/3 of each of three: the covariance is ``3 s^2 / (2 N)`` a coordinate. A bound: views
    that crowd in a part of the sphere do worse.

    Parameters
    ----------
    views
        N that agree.
    noise
        Standard deviation of one coordinate, any unit (``s d / f`` for pixels at a distance d).
    """
    return 3 / sqrt(2 * views) * noise


def expected_error(views: int, agree: int, rate: float, noise: float) -> tuple[float, float]:
    """Mean number of hits, and 3D error (RMS), of points that at least ``agree`` views hit."""
    chance = [(k, _hits(views, k, rate)) for k in range(max(agree, 1), views + 1)]
    total = sum(c for _, c in chance)
    inliers = sum(k * c for k, c in chance) / total
    square = sum(isotropic_error(k, noise) ** 2 * c for k, c in chance) / total
    return inliers, sqrt(square)


def plan_views(detector: Detector, views: int, allowed: float = 0.01) -> Plan:
    """Say what to expect of a number of views.

    Raises
    ------
    InputError
        If there are fewer than two.
    """
    if not 2 <= views <= MAX_VIEWS:
        raise InputError(f"{views} views", f"give 2 to {MAX_VIEWS}: one view has no depth")
    agree = detector.agree(views, allowed)
    inliers, error = expected_error(views, agree, detector.rate, detector.noise)
    return Plan(
        views=views,
        agree=agree,
        found=true_positive_rate(views, agree, detector.rate),
        spurious=detector.spurious(views, agree),
        inliers=inliers,
        error_px=error,
    )


def smallest_rig(detector: Detector, targets: Targets) -> Plan | None:
    """Smallest number of views that reaches both targets; None if 200 do not."""
    for views in range(3, MAX_VIEWS + 1):
        plan = plan_views(detector, views, targets.spurious)
        if plan.found >= targets.found and plan.spurious <= targets.spurious:
            return plan
    return None
