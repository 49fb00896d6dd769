"""What `multiview evaluate` reads: runs of `detect` and `triangulate`, and truths of all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.association import as_triangulated
from multiview.core import HAND_21, HAND_SLOTS, Detections, Points3D, Rig
from multiview.errors import InputError
from multiview.evaluation.keypoints_2d import Truth2D
from multiview.evaluation.view_angle import hand_angles
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.precomputed import read_precomputed
from multiview.stage import file_digest, read_manifest
from multiview.stages.evaluate import align_to_truth, read_truth
from multiview.stages.triangulated import hands_at_a_time
from multiview.triangulation import TriangulationConfig

__all__ = ["Run", "Truth", "read_run", "read_truth_of"]

NPZ = ".npz"
PER_UNIT_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A folder of `triangulate` or `detect` as read.

    Parameters
    ----------
    name, files
        What to call it, and the digests of what was read.
    dets
        As detected; None where they are not there.
    ordered
        The same with hands in the order of the points; None without points.
    points, rig, config
        Of `triangulate`; None for a folder of `detect`.
    """

    name: str
    files: dict[str, str]
    dets: Detections | None = None
    ordered: Detections | None = None
    points: Points3D | None = None
    rig: Rig | None = None
    config: TriangulationConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A truth as read, not yet brought to a run's cameras.

    Parameters
    ----------
    path
        Its file.
    xyz
        3D, shape (F, H, K, 3), metres, one row a frame number; None for a truth in pictures.
    visible, head_px
        Shape (V, F, H, K) and (V, F, H), where the file has them.
    labels
        A truth in pictures.
    rig
        The true cameras, where given.
    """

    path: Path
    xyz: F64 | None = None
    visible: BoolArray | None = None
    head_px: F64 | None = None
    labels: Detections | None = None
    rig: Rig | None = None

    def planar(self, run: Run) -> Truth2D | None:
        """Return the truth in the pictures of a run; None without cameras to project it."""
        if self.labels is not None:
            return Truth2D(
                xy_px=self.labels.xy_px,
                camera_names=self.labels.camera_names,
                frame_ids=self.labels.frame_ids,
                skeleton=self.labels.skeleton,
                hands=self.labels.hands,
            )
        rig = self.rig or run.rig
        if self.xyz is None or rig is None or run.dets is None:
            return None
        if self.xyz.shape[2] != len(run.dets.skeleton.keypoints):
            raise InputError(
                f"{self.path}: has {self.xyz.shape[2]} keypoints, the detections "
                f"{len(run.dets.skeleton.keypoints)}",
                "give a truth of the same keypoints",
            )
        return self._projected(self.xyz, rig, run.dets)

    def _projected(self, xyz: F64, rig: Rig, dets: Detections) -> Truth2D:
        xy = rig.project(xyz)
        size = np.array([c.intrinsics.size_wh for c in rig.cameras])[:, None, None, None]
        inside = np.all((xy > -0.5) & (xy < size - 0.5), axis=-1)
        angles: tuple[F64 | None, F64 | None] = (None, None)
        if dets.skeleton.keypoints == HAND_21.keypoints and xyz.shape[1] == len(HAND_SLOTS):
            angles = hand_angles(rig, xyz)
        for what, array in (("visibility", self.visible), ("head_px", self.head_px)):
            if array is not None and len(array) != len(rig.cameras):
                raise InputError(
                    f"{self.path}: {what} has {len(array)} cameras, the rig {len(rig.cameras)}",
                    "give --truth-rig with the cameras of the truth, in its order",
                )
        return Truth2D(
            xy_px=np.where(inside[..., None], xy, np.nan),
            camera_names=rig.names,
            frame_ids=np.arange(len(xyz)),
            skeleton=dets.skeleton,
            hands=HAND_SLOTS if xyz.shape[1] == len(HAND_SLOTS) else (),
            visible=self.visible,
            head_px=self.head_px,
            to_camera=angles[0],
            to_forearm=angles[1],
        )

    def spatial(self, run: Run) -> tuple[F64, F64, F64] | None:
        """Return estimate, truth (F, H, K, 3) and covariance of a run, metres, in one world."""
        if self.xyz is None or run.points is None or run.rig is None:
            return None
        points, scale = run.points, PER_UNIT_M.get(run.points.unit)
        if scale is None:
            raise InputError(
                f"{run.name} is in {points.unit!r}, the truth in metres",
                "calibrate with a board of known size, or leave out --truth",
            )
        ids = points.frame_ids
        if self.xyz.shape[1:] != points.xyz_world.shape[1:] or ids.max(initial=0) >= len(self.xyz):
            raise InputError(
                f"truth has shape {self.xyz.shape}, the points {points.xyz_world.shape}",
                "give the truth of this take",
            )
        R, t = np.eye(3), np.zeros(3)
        if self.rig is not None:
            cameras = [_scaled(c, scale) for c in run.rig.cameras]
            R, t = align_to_truth(replace(run.rig, cameras=tuple(cameras)), self.rig)
        moved = scale * points.xyz_world @ R.T + t
        return moved, self.xyz[ids], R @ (scale**2 * points.cov) @ R.T


def _scaled(camera: Any, scale: float) -> Any:
    pose = camera.cam_from_world
    return replace(camera, cam_from_world=replace(pose, t=pose.t * scale))


def read_run(path: Path, detections: Path | None = None) -> Run:
    """Read a folder of `triangulate` or `detect`, or a detections table.

    Parameters
    ----------
    path
        The folder or table.
    detections
        Detections that the points were made from, if they are not where `triangulate` found them.

    Raises
    ------
    InputError
        If it is none of these, or the detections are of another take.
    """
    table = path / "detections.parquet" if path.is_dir() else path
    if not (path / "points.parquet").exists() and table.suffix == ".parquet" and table.exists():
        files = {"detections": file_digest(table)}
        return Run(name=path.name, files=files, dets=read_detections(table))
    points = read_points(path / "points.parquet")
    rig = read_rig(path / "rig.yaml").select(points.camera_names)
    manifest = read_manifest(path) if (path / "manifest.json").exists() else {}
    files = {"points": file_digest(path / "points.parquet"), "rig": rig.digest}
    found = _detections_of(path, manifest, detections)
    dets = ordered = None
    if found is not None:
        dets = read_detections(found)
        _check_same_take(dets, points, found)
        files["detections"] = file_digest(found)
        ordered = as_triangulated(dets, points, rig, hands_at_a_time(path))
    return Run(
        name=path.name,
        files=files,
        dets=dets,
        ordered=ordered,
        points=points,
        rig=rig,
        config=_config_of(manifest),
    )


def _detections_of(path: Path, manifest: dict[str, Any], given: Path | None) -> Path | None:
    said = manifest.get("figures", {}).get("detections")
    at = given if given is not None else path / str(said) if said else None
    if at is None:
        return None
    table = at / "detections.parquet" if at.is_dir() else at
    if table.exists():
        return table
    if given is not None:
        raise InputError(f"{table}: no such detections", "give a folder of `detect` or its table")
    return None


def _check_same_take(dets: Detections, points: Points3D, table: Path) -> None:
    same = np.array_equal(dets.frame_ids, points.frame_ids)
    if dets.camera_names != points.camera_names or not same:
        raise InputError(
            f"{table} has cameras {', '.join(dets.camera_names)} and {len(dets.frame_ids)} frames, "
            f"the points {', '.join(points.camera_names)} and {len(points.frame_ids)}",
            "give the detections that triangulate used: --detections FOLDER",
        )


def _config_of(manifest: dict[str, Any]) -> TriangulationConfig:
    if manifest.get("stage") != "triangulate":
        return TriangulationConfig()
    try:
        return TriangulationConfig.model_validate(manifest.get("config", {}))
    except ValueError:  # written by another version
        return TriangulationConfig()


def read_truth_of(path: Path, rig: Path | None = None) -> Truth:
    """Read a truth: npz in 3D, a detections table, or 2D labels of other programs (COCO).

    Parameters
    ----------
    path
        ``.npz`` as `multiview.stages.evaluate.read_truth`, with ``visibility`` (V, F, H, K) and
        ``head_px`` (V, F, H) if known (H may be left out as in ``xyz_world``); anything else as
        `multiview.precomputed.read_precomputed`.
    rig
        The true cameras.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    cameras = read_rig(rig) if rig else None
    if path.suffix.lower() != NPZ:
        try:
            labels = read_precomputed(path)
        except InputError as error:
            # the reader's own advice names options that this verb does not have
            ways = "give an npz with xyz_world (F, H, K, 3) in m, a detections table or COCO labels"
            raise InputError(f"--truth {error.what}", ways) from None
        return Truth(path=path, labels=labels, rig=cameras)
    xyz = read_truth(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            right = np.asarray(data["right"]) if "right" in data else np.array(True)
            more = {n: np.asarray(data[n]) for n in ("visibility", "head_px") if n in data}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error})", "write it again") from None
    seen = more.get("visibility")
    head = more.get("head_px")
    return Truth(
        path=path,
        xyz=xyz,
        visible=None if seen is None else _per_hand(path, seen > 0, xyz, right, 4).astype(np.bool_),
        head_px=None if head is None else _per_hand(path, head.astype(float), xyz, right, 3),
        rig=cameras,
    )


def _per_hand(path: Path, values: Any, xyz: F64, right: Any, axes: int) -> Any:
    """Give an array without axis H the one of the truth's hands, as ``xyz_world`` got it."""
    whole = (xyz.shape[0], xyz.shape[1], xyz.shape[2])[: axes - 1]
    if values.ndim == axes and values.shape[1:] == whole:
        return values
    without = (whole[0], *whole[2:])
    if values.ndim != axes - 1 or values.shape[1:] != without:
        raise InputError(
            f"{path}: visibility or head_px has shape {values.shape}, the points {xyz.shape}",
            "give (V, F, H, K) and (V, F, H)",
        )
    out = np.full((len(values), *whole), np.nan if values.dtype == float else False)
    slots = np.broadcast_to(right, whole[0]).astype(int)
    out[:, np.arange(whole[0]), slots] = values
    return out
