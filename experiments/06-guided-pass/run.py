"""What the guided second pass adds, on rendered captures with exact truth.

Run from the repository's root::

    python experiments/06-guided-pass/run.py [CAPTURE ...] [--cache FOLDER] [--jitter 2]

Captures are read from ``$MULTIVIEW_SHARED/data/rendered`` (``../shared`` by default), with their
true calibration. What the pass believes and drops is asked by `belief.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import charts
import numpy as np

import multiview as mv
from multiview.association import assign_hands
from multiview.core import Camera, Detections, Intrinsics, Points3D, Pose, Rig
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.geometry.metrics import auc, pck
from multiview.guided import GuideConfig, guide
from multiview.models.jitter import Jittered
from multiview.stage import provenance
from multiview.triangulation import hand_length, triangulate_with_report

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
HERE = Path(__file__).parent
HAND = 0.10  # a keypoint or point is right within this share of the hand's size


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A capture with what is known of it."""

    name: str
    rig: Rig
    capture: mv.capture.Capture
    xyz: np.ndarray  # (F, K, 3)
    xy: np.ndarray  # (V, F, K, 2)
    visible: np.ndarray  # (V, F, K)
    palm_deg: np.ndarray  # (V, F)

    @property
    def size_px(self) -> np.ndarray:
        """Longer side of the tight keypoint box, (V, F)."""
        return (self.xy.max(-2) - self.xy.min(-2)).max(-1)

    @property
    def length_px(self) -> np.ndarray:
        """Length of the hand, held across at its distance, (V, F), as reference figures."""
        R, t = self.rig.cam_from_world
        depth = np.einsum("vi,fi->vf", R[:, 2], self.xyz.mean(1)) + t[:, 2:]
        focal = np.array([[c.intrinsics.K[0, 0]] for c in self.rig.cameras])
        return self.length_m * focal / depth

    @property
    def length_m(self) -> np.ndarray:
        """Wrist to middle tip along the bones, (F,)."""
        skeleton = mv.HAND_21
        a, b = np.array(skeleton.edges).T
        bones = np.linalg.norm(self.xyz[:, a] - self.xyz[:, b], axis=-1)
        return np.array([hand_length(row, skeleton) for row in bones])


def read_truth(folder: Path) -> Truth:
    """Read calibration, pictures and truth of a rendered capture."""
    if not (folder / "truth.npz").exists():
        raise SystemExit(f"{folder} is not there: set MULTIVIEW_SHARED to the shared folder")
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    rig = Rig(cameras=tuple(map(camera, cameras)))
    capture = mv.open_capture(folder / "images", sync="index")
    with np.load(folder / "truth.npz") as t:
        return Truth(
            name=folder.name,
            rig=rig.select(capture.names),
            capture=capture,
            xyz=t["kp3d"],
            xy=t["kp2d"].transpose(1, 0, 2, 3),
            visible=t["visible"].transpose(1, 0, 2),
            palm_deg=t["palm_angle"].T,
        )


def camera(c: dict) -> Camera:
    """Build a camera from an entry of calibration.json."""
    lens = Intrinsics(
        K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
    )
    pose = Pose(R=np.array(c["R"]), t=np.array(c["t"]))
    return Camera(name=c["name"], intrinsics=lens, cam_from_world=pose)


def cached(path: Path, make) -> tuple[Detections, float]:
    """Read detections and the CPU seconds they took, or make and keep them."""
    clock = path.with_suffix(".txt")
    if not clock.exists():
        began = time.process_time()
        dets = make()
        write_detections(dets, path)
        clock.write_text(f"{time.process_time() - began:.1f}")
    return read_detections(path), float(clock.read_text())


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to detect: the hand of the truth, and the 3D of it."""

    name: str
    seconds: float
    xy: np.ndarray  # (V, F, K, 2)
    dets: Detections | None = None
    points: Points3D | None = None


def rows_of(truth: Truth, cache: Path, passes: int, runtime: str = "cv2") -> list[Row]:
    """All rows of a capture, with or without jitter."""
    net = mv.load_detector("hand", runtime=runtime)
    tag = f"+jitter {passes}" if passes else ""
    network = Jittered(net, passes=passes) if passes else net
    cache.mkdir(parents=True, exist_ok=True)
    stem = f"{truth.name}-{passes}{'-ort' if runtime == 'ort' else ''}"
    raw, seconds = cached(cache / f"{stem}-1.parquet", lambda: mv.detect(truth.capture, network))
    first, _ = assign_hands(raw, truth.rig)
    points = mv.triangulate(first, truth.rig)
    rows = [Row(name=f"first pass, best candidate {tag}", seconds=seconds, xy=raw.xy_px[:, :, 0])]
    todo = [(f"first pass, sorted {tag}", first, seconds)]
    for name, reread in (("+ guided", False), ("+ guided, all read again", True)):
        config = GuideConfig(reread=reread)

        def again(config: GuideConfig = config) -> Detections:
            return guide(truth.capture, network, first, points, truth.rig, config)[0]

        dets, more = cached(cache / f"{stem}-{2 + reread}.parquet", again)
        todo.append((f"{name} {tag}", dets, more))
    # which slot the hand is in is another question: association's
    frames, slot = np.arange(len(truth.xyz)), points.valid.sum(-1).argmax(1)
    for name, dets, took in todo:
        rows.append(
            Row(
                name=name,
                seconds=took,
                xy=dets.xy_px[:, frames, slot],
                dets=dets,
                points=mv.triangulate(dets, truth.rig),
            )
        )
    return rows


def errors_px(row: Row, truth: Truth) -> np.ndarray:
    """Distance of every keypoint from the truth, (V, F, K); NaN where missing."""
    return np.linalg.norm(row.xy - truth.xy, axis=-1)


def table_2d(rows: list[Row], truth: Truth) -> None:
    """Print detection rates and errors in the pictures; a missing keypoint is wrong."""
    heads = "found | PCK@0.1 | of length | AUC 0-0.3 | AUC 0-30 px | px | CPU s"
    print(f"\n| 2D over all views | {heads} |")
    print("| --- |" + " ---: |" * 7)
    for row in rows:
        px = errors_px(row, truth)
        share = px / truth.size_px[..., None]
        found = np.isfinite(px).any(-1).mean()
        limit = np.array([HAND])
        cells = [found, pck(share, limit)[0], pck(px / truth.length_px[..., None], limit)[0]]
        cells += [auc(share, 0, 0.3), auc(px, 0, 30)]
        print(
            f"| {row.name} | {' | '.join(f'{c:.3f}' for c in cells)} | {np.nanmedian(px):.2f} "
            f"| {row.seconds:.1f} |"
        )


def table_3d(rows: list[Row], truth: Truth) -> None:
    """Print the 3D error, and how sure the points claim to be."""
    print(
        "\n| 3D | observations | agree | views a point | recovered | voted | median mm | 95 % mm "
        "| false | right, of all | error / sigma |"
    )
    print("| --- |" + " ---: |" * 10)
    for row in rows:
        if row.dets is None or row.points is None:
            continue
        p, (frames, slot) = row.points, hand_slots(row.points)
        _, report = triangulate_with_report(row.dets, truth.rig)
        off = p.xyz_world[frames, slot] - truth.xyz
        error = np.linalg.norm(off, axis=-1)
        ok = np.isfinite(error)
        wrong = error[ok] > HAND * np.broadcast_to(truth.length_m[:, None], ok.shape)[ok]
        cov = p.cov[frames, slot][ok]
        sigma = np.sqrt(np.einsum("ni,nij,nj->n", off[ok], np.linalg.inv(cov), off[ok]))
        cells = [
            f"{int(row.dets.valid.any(-1).sum())}",
            f"{report.hit_rate:.3f}",
            f"{p.inlier[:, frames, slot].sum(0)[ok].mean():.2f}",
            f"{ok.mean():.3f}",
            f"{p.voted[frames, slot].mean():.3f}",
            f"{np.median(error[ok]) * 1000:.2f}",
            f"{np.percentile(error[ok], 95) * 1000:.1f}",
            f"{wrong.mean():.4f} ({wrong.sum()})",
            f"{(~wrong).sum() / ok.size:.3f}",
            f"{np.median(sigma):.2f}",
        ]
        print(f"| {row.name} | {' | '.join(cells)} |")


def hand_slots(points: Points3D) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers, and the slot with most points in each."""
    return np.arange(len(points.frame_ids)), points.valid.sum(-1).argmax(1)


def table_by(rows: list[Row], truth: Truth, what: str, value: np.ndarray, edges: list) -> None:
    """Print found share and PCK@0.1 in bins of a property of the view, (V, F)."""
    bins = list(itertools.pairwise(edges))
    inside = [(value >= a) & (value < b) for a, b in bins]
    print(f"\n| {what} | " + " | ".join(f"{a}-{b}" for a, b in bins) + " |")
    print("| --- |" + " ---: |" * len(bins))
    print("| views | " + " | ".join(str(int(i.sum())) for i in inside) + " |")
    for row in rows:
        share = errors_px(row, truth) / truth.size_px[..., None]
        cells = []
        for i in inside:
            found = np.isfinite(share[i]).any(-1).mean() if i.any() else np.nan
            good = pck(share[i], np.array([HAND]))[0] if i.any() else np.nan
            cells.append(f"{found:.2f} / {good:.2f}" if i.any() else "-")
        print(f"| {row.name} | {' | '.join(cells)} |")


def table_views(rows: list[Row], truth: Truth) -> None:
    """Print the share of frames in which each camera has the hand."""
    print("\n| found, by camera | " + " | ".join(truth.capture.names) + " |")
    print("| --- |" + " ---: |" * len(truth.capture.names))
    for row in rows:
        found = np.isfinite(row.xy).any((-1, -2)).mean(1)
        print(f"| {row.name} | {' | '.join(f'{f:.2f}' for f in found)} |")


def measure(truth: Truth, cache: Path, jitter: int, runtime: str) -> None:
    """Print all tables of a capture and draw its pictures."""
    plain = rows_of(truth, cache, 0, runtime)
    rows = plain + (rows_of(truth, cache, jitter, runtime) if jitter else [])
    v, f = truth.xy.shape[:2]
    print(f"\n## {truth.name}: {v} views x {f} frames")
    table_2d(rows, truth)
    table_3d(rows, truth)
    table_views(plain[1:3], truth)
    shown = [r for r in rows if r.dets is not None]
    # 0: along the palm's normal, either side of the hand; 90: edge on
    tilt = 90 - np.abs(90 - truth.palm_deg)
    table_by(shown, truth, "found / PCK@0.1 by palm tilt, deg", tilt, [0, 15, 30, 45, 60, 75, 90.1])
    visible = truth.visible.mean(-1)
    table_by(shown, truth, "by visible share", visible, [0, 0.3, 0.5, 0.7, 0.9, 1.01])
    charts.pck_curves(truth.name, rows, truth, HERE / f"{truth.name}-pck.png")
    charts.hardest(truth, plain[1], plain[2], HERE / f"{truth.name}-hardest.jpg")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", default=["dome8", "dome31"])
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    parser.add_argument("--jitter", type=int, default=0)
    parser.add_argument("--runtime", default="cv2", choices=("cv2", "ort"))
    args = parser.parse_args()
    if "test8" in args.captures:
        raise SystemExit("test8 is held out: nothing is measured on it while rules are chosen")
    print(provenance())
    for name in args.captures:
        truth = read_truth(SHARED / "data/rendered" / name)
        measure(truth, args.cache, args.jitter, args.runtime)


if __name__ == "__main__":
    main()
