"""What is known of a run's errors, and the same by keypoint, camera, view and visibility."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.core import Skeleton
from multiview.evaluation.keypoints_2d import Matched, figures_2d
from multiview.evaluation.keypoints_3d import figures_3d
from multiview.evaluation.view_angle import view_bins

__all__ = ["Findings", "Spatial", "groups_2d", "keypoint_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spatial:
    """3D of a run against a truth.

    Parameters
    ----------
    errors_mm
        As `multiview.evaluation.keypoints_3d.errors_3d` gave them, millimetres.
    exists
        Where there is a truth, shape (F, H, K).
    frame_ids
        Shape (F,).
    coverage
        Shares of truths within the ellipsoids of the covariances.
    """

    errors_mm: dict[str, F64]
    exists: BoolArray
    frame_ids: IntArray
    coverage: dict[str, float]

    def figures(self) -> dict[str, float]:
        """Say it in numbers."""
        return figures_3d(self.errors_mm, self.exists) | self.coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All of a run.

    Parameters
    ----------
    name
        What to call it.
    skeleton
        Of the detections or points.
    planar, spatial
        Against truth in pictures and in space, where there is one.
    without
        Numbers that need no truth.
    held_out_px, carried, valid
        Held-out errors (V, F, H, K), which of them carry a point, and which keypoints have a point
        (F, H, K), on cameras ``camera_names`` and frames ``frame_ids``; None without 3D or
        detections.
    """

    name: str
    skeleton: Skeleton
    planar: Matched | None = None
    spatial: Spatial | None = None
    without: dict[str, float] = field(default_factory=dict)
    held_out_px: F64 | None = None
    carried: BoolArray | None = None
    valid: BoolArray | None = None
    camera_names: tuple[str, ...] = ()
    frame_ids: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))

    def figures(self) -> dict[str, dict[str, float]]:
        """All numbers, by part."""
        out = {}
        if self.planar is not None:
            out["2d"] = figures_2d(self.planar)
        if self.spatial is not None:
            out["3d"] = self.spatial.figures()
        if self.without:
            out["without_truth"] = self.without
        return out


def groups_2d(matched: Matched) -> dict[str, dict[str, dict[str, float]]]:
    """Numbers by camera, by view angle and by visibility, where known.

    Returns
    -------
    dict
        Kind of group to name to the figures of `figures_2d`; empty groups are left out.
    """
    truth = matched.truth
    kinds: dict[str, dict[str, BoolArray]] = {"camera": {}}
    for v, name in enumerate(truth.camera_names):
        one = np.zeros((len(truth.camera_names), 1, 1, 1), np.bool_)
        one[v] = True
        kinds["camera"][name] = one
    if truth.to_camera is not None and truth.to_forearm is not None:
        bins = view_bins(truth.to_camera, truth.to_forearm)
        kinds["view"] = {name: where[..., None] for name, where in bins.items()}
    if truth.visible is not None:
        kinds["visibility"] = {"visible": truth.visible, "hidden": ~truth.visible}
    out: dict[str, dict[str, dict[str, float]]] = {}
    for kind, members in kinds.items():
        some = {n: w for n, w in members.items() if (matched.exists & w).any()}
        out[kind] = {n: figures_2d(matched, w) for n, w in some.items()}
    return out


def keypoint_rows(findings: Findings) -> list[dict[str, float | str]]:
    """Return a row for every keypoint with what is known of it: the table of keypoints."""
    rows: list[dict[str, float | str]] = []
    for k, name in enumerate(findings.skeleton.keypoints):
        row: dict[str, float | str] = {"keypoint": name}
        if findings.planar is not None:
            one = np.zeros(len(findings.skeleton.keypoints), np.bool_)
            one[k] = True
            flat = figures_2d(findings.planar, one)
            chosen = ("keypoints_found", "epe_px", "epe_median_px", "pck_box_0.1", "auc_px_0_30")
            row |= {n: flat[n] for n in chosen}
        if findings.spatial is not None:
            part = {n: e[..., [k]] for n, e in findings.spatial.errors_mm.items()}
            solid = figures_3d(part, findings.spatial.exists[..., [k]])
            row |= {n: v for n, v in solid.items() if n == "recovered" or n.endswith("_mm")}
        if findings.held_out_px is not None and findings.carried is not None:
            own = findings.held_out_px[..., k][findings.carried[..., k]]
            own = own[np.isfinite(own)]
            row["held_out_median_px"] = float(np.median(own)) if own.size else float("nan")
        rows.append(row)
    return rows
