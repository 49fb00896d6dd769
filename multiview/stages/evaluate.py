"""`multiview evaluate`: how far 3D keypoints are from a known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from multiview._shapes import F64
from multiview.core import Points3D, Rig
from multiview.errors import InputError
from multiview.geometry.align import estimate_alignment
from multiview.geometry.median import median_of
from multiview.geometry.metrics import auc, pa_mpjpe, point_errors

__all__ = ["Accuracy", "align_to_truth", "evaluate", "read_truth"]

# Length of the axes that stand for a camera's orientation when rigs are aligned, metres: about a
# camera's distance to the hand, so that a rotation counts as much as the shift it causes there.
AXIS_LENGTH = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Errors of a take against truth, millimetres.

    Parameters
    ----------
    median_mm, p95_mm, mpjpe_mm
        Of the accepted keypoints, absolute, after the rig's gauge is removed.
    pa_mpjpe_mm
        Mean error after aligning every hand by itself.
    auc_50
        Area under the share-within curve over 0-50 mm; a missing keypoint counts as wrong.
    recovered
        Share of the true keypoints for which a point was accepted.
    within_10mm
        Share of all true keypoints within 10 mm.
    normalised_error
        Median of error over its own predicted standard deviation; 1.54 if the covariance is right.
    worst_keypoint, worst_median_mm
        The keypoint with the largest median error: what all views get wrong alike.
    """

    median_mm: float
    p95_mm: float
    mpjpe_mm: float
    pa_mpjpe_mm: float
    auc_50: float
    recovered: float
    within_10mm: float
    normalised_error: float
    worst_keypoint: str
    worst_median_mm: float


def read_truth(path: Path) -> F64:
    """Read true keypoints (F, H, K, 3), metres, from an npz with ``xyz_world`` and ``right``.

    ``xyz_world`` is (F, H, K, 3), or (F, K, 3) with ``right`` (scalar or (F,)) saying which hand.

    Raises
    ------
    InputError
        If the file is not such an npz.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            xyz = np.asarray(data["xyz_world"], np.float64)
            right = np.asarray(data["right"]) if "right" in data else np.array(True)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a truth file ({error})", "give an npz with xyz_world (F, H, K, 3) in m"
        ) from None
    if xyz.ndim == 4 and xyz.shape[-1] == 3:
        return xyz
    if xyz.ndim != 3 or xyz.shape[-1] != 3:
        raise InputError(f"{path}: xyz_world has shape {xyz.shape}", "give (F, H, K, 3)")
    if right.shape not in {(), (len(xyz),)} or not np.isin(right, (0, 1)).all():
        raise InputError(f"{path}: right must be 0 or 1, one or (F,)", "see `multiview evaluate`")
    out = np.full((len(xyz), 2, *xyz.shape[1:]), np.nan)
    out[np.arange(len(xyz)), np.broadcast_to(right, len(xyz)).astype(int)] = xyz
    return out


def align_to_truth(rig: Rig, truth: Rig) -> tuple[F64, F64]:
    """Rotation and translation from the rig's world to the true one, from the cameras alone.

    A calibration fixes the cameras only up to a rigid motion (the gauge). Removing it with the
    cameras rather than the hand keeps every error of the hand in the figures.
    """
    truth = truth.select(rig.names)
    _, R, t = estimate_alignment(_frames(rig), _frames(truth))
    return R, t


def _frames(rig: Rig) -> F64:
    tips = np.concatenate([np.zeros((1, 3)), AXIS_LENGTH * np.eye(3)])
    return np.concatenate([c.cam_from_world.inv.apply(tips) for c in rig.cameras])


def evaluate(points: Points3D, rig: Rig, truth: F64, truth_rig: Rig | None = None) -> Accuracy:
    """Compare accepted keypoints with the truth.

    Parameters
    ----------
    points, rig
        Result and the rig it was made with.
    truth
        Shape (F, H, K, 3), metres, one row per frame id.
    truth_rig
        The true cameras, to remove the gauge; None if the worlds are the same.

    Raises
    ------
    InputError
        If the truth has other frames or keypoints.
    """
    ids = points.frame_ids
    if truth.shape[1:] != points.xyz_world.shape[1:] or ids.max(initial=0) >= len(truth):
        raise InputError(
            f"truth has shape {truth.shape}, the points {points.xyz_world.shape}",
            "give the truth of this take",
        )
    R, t = (np.eye(3), np.zeros(3)) if truth_rig is None else align_to_truth(rig, truth_rig)
    wanted = truth[ids]
    moved = points.xyz_world @ R.T + t
    error = point_errors(moved, wanted) * 1000
    exists = np.isfinite(wanted).all(-1)
    got = error[np.isfinite(error)]
    if not got.size:
        raise InputError("no triangulated keypoint has a truth", "check frames and hand sides")
    by_keypoint = _median_by_keypoint(error)
    worst = int(np.nanargmax(by_keypoint))
    return Accuracy(
        median_mm=float(np.median(got)),
        p95_mm=float(np.percentile(got, 95)),
        mpjpe_mm=float(got.mean()),
        pa_mpjpe_mm=float(np.nanmean(pa_mpjpe(_hands(moved), _hands(wanted))) * 1000),
        auc_50=auc(error[exists], 0, 50),
        recovered=float(np.isfinite(error[exists]).mean()),
        within_10mm=float((np.nan_to_num(error[exists], nan=np.inf) <= 10).mean()),
        normalised_error=_normalised(points, R, moved - wanted),
        worst_keypoint=points.skeleton.keypoints[worst],
        worst_median_mm=float(by_keypoint[worst]),
    )


def _median_by_keypoint(error: F64) -> F64:
    """Median over frames and hands, shape (K,); NaN for a keypoint never found."""
    return median_of(error.reshape(-1, error.shape[-1]), 0)


def _hands(xyz: F64) -> F64:
    return xyz.reshape(-1, *xyz.shape[2:])


def _normalised(points: Points3D, R: F64, difference: F64) -> float:
    ok = np.isfinite(difference).all(-1) & np.isfinite(points.cov).all((-1, -2))
    if not ok.any():
        return float("nan")
    cov = R @ points.cov[ok] @ R.T
    solved = np.linalg.solve(cov, difference[ok][..., None])[..., 0]
    return float(np.median(np.sqrt((difference[ok] * solved).sum(-1))))
