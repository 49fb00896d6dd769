"""Rendered captures: detections, 3D and which 3D keypoints are false."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import multiview as mv
from multiview.association import assign_hands
from multiview.bootstrap.evidence import Evidence, gather_evidence
from multiview.bootstrap.risk_fit import Verified
from multiview.core import Camera, Detections, Intrinsics, Points3D, Pose, Rig
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.triangulation import TriangulationConfig, hand_length, triangulate

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
HERE = Path(__file__).parent
WRONG = 0.1  # of the hand's length, wrist to middle tip along the bones
# Frames of one subject's motion that err together.
STRETCH = 6


@dataclass(frozen=True, kw_only=True)
class Take:
    """A capture with what is known of it."""

    name: str
    rig: Rig
    dets: Detections
    xyz: np.ndarray  # truth (F, K, 3)
    xy: np.ndarray  # truth (V, F, K, 2)
    palm_deg: np.ndarray  # (V, F)
    side: np.ndarray  # true slot (F,)
    subject: np.ndarray  # (F,)

    @property
    def length(self) -> np.ndarray:
        """Length of the hand (F,)."""
        a, b = np.array(mv.HAND_21.edges).T
        bones = np.linalg.norm(self.xyz[:, a] - self.xyz[:, b], axis=-1)
        return np.array([hand_length(row, mv.HAND_21) for row in bones])

    @property
    def group(self) -> np.ndarray:
        """Frames that err together (F,): a subject, or stretches of the only one's motion."""
        if len(np.unique(self.subject)) > 1:
            return np.unique(self.subject, return_inverse=True)[1]
        return np.arange(len(self.subject)) // STRETCH

    def views(self, names: list[str]) -> Take:
        """The take as some of its cameras saw it."""
        at = [self.rig.names.index(n) for n in names]
        d = self.dets
        part = replace(
            d,
            xy_px=d.xy_px[at],
            conf=d.conf[at],
            times=d.times[at],
            right=d.right[at],
            camera_names=tuple(names),
            size_wh=tuple(d.size_wh[v] for v in at) if d.size_wh else (),
        )
        rig = self.rig.select(tuple(names))
        return replace(self, rig=rig, dets=part, xy=self.xy[at], palm_deg=self.palm_deg[at])


def read_take(name: str) -> Take:
    """Read a rendered capture; its detections are made on first use and kept in ``runs/``."""
    folder = SHARED / "data" / "rendered" / name
    if name == "test8":
        raise SystemExit("test8 is held out: nothing is measured on it while rules are chosen")
    if not (folder / "truth.npz").exists():
        raise SystemExit(f"{folder} is not there: set MULTIVIEW_SHARED to the shared folder")
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    rig = Rig(cameras=tuple(map(_camera, cameras)))
    with np.load(folder / "truth.npz") as t:
        dets = _detections(name, folder)
        rig = rig.select(dets.camera_names)
        subject = t["subject"].astype(np.int64)
        return Take(
            name=name,
            rig=rig,
            dets=dets,
            xyz=t["kp3d"],
            xy=t["kp2d"].transpose(1, 0, 2, 3),
            palm_deg=t["palm_angle"].T,
            side=np.where(t["side"] == 0, 1, 0),
            subject=subject,
        )


def _camera(c: dict) -> Camera:
    lens = Intrinsics(
        K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
    )
    pose = Pose(R=np.array(c["R"]), t=np.array(c["t"]))
    return Camera(name=c["name"], intrinsics=lens, cam_from_world=pose)


def _detections(name: str, folder: Path) -> Detections:
    path = HERE / "runs" / f"{name}.parquet"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        capture = mv.open_capture(folder / "images", sync="index")
        write_detections(mv.detect(capture, mv.load_detector("hand")), path)
    return read_detections(path)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """3D of a take, and which keypoints are false."""

    take: Take
    dets: Detections  # sorted into left and right
    points: Points3D
    evidence: Evidence
    wrong: np.ndarray  # (F, H, K)

    @property
    def verified(self) -> Verified:
        """As the fit takes them."""
        f, h, k = self.evidence.index.T
        return Verified(evidence=self.evidence, wrong=self.wrong[f, h, k], group=self.take.group[f])


def label_take(take: Take, config: TriangulationConfig | None = None) -> Labels:
    """Sort, triangulate and judge; each subject is a take of its own."""
    dets = sort_hands(take)
    points = triangulate(dets, take.rig, config)
    off = np.linalg.norm(points.xyz_world - take.xyz[:, None], axis=-1)
    wrong = off > WRONG * take.length[:, None, None]
    evidence = gather_evidence(points, dets, take.rig)
    return Labels(take=take, dets=dets, points=points, evidence=evidence, wrong=wrong)


def sort_hands(take: Take) -> Detections:
    """Left and right, subject by subject: captures of many people are cut at every change."""
    parts, rows = [], []
    d = take.dets
    for s in np.unique(take.subject):
        at = np.flatnonzero(take.subject == s)
        part = replace(
            d,
            xy_px=d.xy_px[:, at],
            conf=d.conf[:, at],
            frame_ids=d.frame_ids[at],
            times=d.times[:, at],
            right=d.right[:, at],
        )
        parts.append(assign_hands(part, take.rig)[0])
        rows.append(at)
    order = np.argsort(np.concatenate(rows))
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts], axis=1)[:, order]
        for name in ("xy_px", "conf", "right")
    }
    return replace(d, **joined, hands=parts[0].hands)
