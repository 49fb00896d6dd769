"""What the guided pass believes where it should believe nothing, and what each of its rules drops.

Run from the repository's root::

    python experiments/06-guided-pass/belief.py [CAPTURE ...] [--cache FOLDER] --null | --rules
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from run import HAND, HERE, SHARED, Row, Truth, cached, hand_slots, read_truth, rows_of, table_3d

import multiview as mv
from multiview import guided
from multiview.association import assign_hands
from multiview.core import Detections, Points3D
from multiview.geometry.metrics import pck
from multiview.guided import GuideConfig, GuidedReport, guide
from multiview.prediction import predict_hands
from multiview.stage import provenance
from multiview.triangulation import TriangulationConfig

PAINT_SPREAD, RING_PX = 0.15, 10
SHIFTS = (0.0, 0.1, 0.2, 0.3, 0.5)
EVERY = 3  # frames that --null looks at

# --- what each rule keeps and drops


def rules(truth: Truth, cache: Path) -> None:
    """Print what the answers of each verdict were worth, and what agreement would have done."""
    rows = rows_of(truth, cache, 0)
    first, points = rows[1].dets, rows[1].points
    frames, slot = hand_slots(points)
    config = GuideConfig(reread=True)
    prior = truth.rig.project(predict_hands(points, config.max_step))
    looks = guided._look(truth.capture, mv.load_detector("hand"), prior, config, 0, None)
    verdict = guided._judge(first, prior, looks, config)[:, frames, slot]
    share = np.linalg.norm(looks.xy.mean(0)[:, frames, slot] - truth.xy, axis=-1)
    share /= truth.size_px[..., None]
    print(f"\n## {truth.name}: what the answers were worth")
    print("\n| verdict | hands | PCK@0.1 of the answer | median error / size |")
    print("| --- | ---: | ---: | ---: |")
    for n, name in enumerate(guided.VERDICTS):
        some = share[verdict == n]
        if n and np.isfinite(some).any():
            good, middle = pck(some, np.array([HAND]))[0], np.nanmedian(some)
            print(f"| {name} | {len(some)} | {good:.3f} | {middle:.3f} |")
    moved = np.linalg.norm(looks.xy[0] - looks.xy[1], axis=-1).mean(-1) / looks.moved_px
    moved = moved[:, frames, slot][verdict == guided.REREAD]
    quantiles = ", ".join(f"{q:.3f}" for q in np.percentile(moved, [50, 95, 99]))
    print(f"\nshare of the crops' motion in hands read again, 50, 95, 99 %: {quantiles}")
    confirmed(rows, truth)


def confirmed(rows: list[Row], truth: Truth) -> None:
    """Print 3D of the guided pass if only answers near the 3D were kept."""
    first, more = rows[1], rows[2]
    off = np.linalg.norm(more.dets.xy_px - truth.rig.project(first.points.xyz_world), axis=-1)
    far = np.nanmean(off, -1) > TriangulationConfig().inlier_hand * truth.length_px[..., None]
    drop = far & ~first.dets.valid.any(-1)
    dets = replace(more.dets, xy_px=np.where(drop[..., None, None], np.nan, more.dets.xy_px))
    only = replace(more, name="only what agrees", dets=dets, points=mv.triangulate(dets, truth.rig))
    table_3d([first, more, only], truth)


# --- where nothing should be believed


def null(truth: Truth, cache: Path) -> None:
    """Print what is accepted at wrong 3D, and where the hand is painted over."""
    raw, _ = cached(
        cache / f"{truth.name}-0-1.parquet",
        lambda: mv.detect(truth.capture, mv.load_detector("hand")),
    )
    first, _ = assign_hands(raw, truth.rig)
    points = mv.triangulate(first, truth.rig)
    some = np.arange(len(points.frame_ids))[:, None, None, None] % EVERY == 0
    points = replace(points, xyz_world=np.where(some, points.xyz_world, np.nan))
    painted = paint_take(truth, cache / f"{truth.name}-painted")
    network, nobody = mv.load_detector("hand"), blank(first)
    print(f"\n## {truth.name}: all views look by 3D alone, first pass forgotten")
    print(
        "\n| 3D is off by, hand lengths | pictures | rule | looked at | accepted | pull | agree |"
    )
    print("| ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for rule, follow in (("any answer", 0.99), ("two looks", GuideConfig().follow)):
        config = GuideConfig(follow=follow, max_step=0)
        still, _ = guide(truth.capture, network, nobody, points, truth.rig, config)
        for share, capture in [(s, truth.capture) for s in SHIFTS] + [(0.0, painted)]:
            where = shifted(points, truth, share)
            got, report = guide(capture, network, nobody, where, truth.rig, config)
            cells = " | ".join(belief(truth, (points, still), (where, got), report))
            pictures = "painted over" if capture is painted else "as they are"
            print(f"| {share} | {pictures} | {rule} | {cells} |")


def belief(
    truth: Truth,
    still: tuple[Points3D, Detections],
    moved: tuple[Points3D, Detections],
    report: GuidedReport,
) -> list[str]:
    """Numbers of one way to look: looked at, accepted, pull, agreement with the 3D given."""
    frames, slot = hand_slots(still[0])
    looked = (report.verdict > 0)[:, frames, slot]
    added = report.added[:, frames, slot]
    prior, answer = zip(
        *(
            (truth.rig.project(p.xyz_world)[:, frames, slot], d.xy_px[:, frames, slot])
            for p, d in (still, moved)
        ),
        strict=True,
    )
    # how much of the motion of the 3D is in the answer: 0 nothing, 1 the answer follows it
    off, went = (np.nanmean(pair[1] - pair[0], -2)[added] for pair in (prior, answer))
    both = np.isfinite(off + went).all(-1)
    pull = (off * went)[both].sum() / np.maximum((off * off)[both].sum(), 1e-9)
    far = np.linalg.norm(answer[1] - prior[1], axis=-1).mean(-1) / truth.length_px
    agree = added & (far < TriangulationConfig().inlier_hand)
    n = max(looked.sum(), 1)
    shown = f"{pull:.3f}" if both.sum() > 9 and np.abs(off).max() > 1 else "-"
    return [f"{looked.sum()}", f"{added.sum() / n:.3f}", shown, f"{agree.sum() / n:.3f}"]


def blank(dets: Detections) -> Detections:
    """Drop every observation and opinion."""
    return replace(
        dets,
        xy_px=np.full_like(dets.xy_px, np.nan),
        conf=np.zeros_like(dets.conf),
        right=np.full_like(dets.right, np.nan),
    )


def shifted(points: Points3D, truth: Truth, share: float) -> Points3D:
    """Move every hand by a share of its length in a direction of its own."""
    rng = np.random.default_rng(0)
    way = rng.normal(size=(len(points.frame_ids), 1, 1, 3))
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    step = share * truth.length_m[:, None, None, None] * way
    return replace(points, xyz_world=points.xyz_world + step)


def paint_take(truth: Truth, folder: Path) -> mv.capture.Capture:
    """Copy the take with the hand covered by the colour of what is around it."""
    for v, name in enumerate(truth.capture.names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for f, image in truth.capture.images(v):
            path = folder / name / f"{f:06d}.png"
            if not path.exists():
                paint(image, truth.xy[v, f], truth.size_px[v, f])
                cv2.imwrite(str(path), image)
    return mv.open_capture(folder, sync="index")


def paint(image: np.ndarray, xy: np.ndarray, size: float) -> None:
    """Cover one hand, in place."""
    mask = np.zeros(image.shape[:2], np.uint8)
    hull = cv2.convexHull(xy.astype(np.float32)).astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 255)
    kernel = np.ones((3, 3), np.uint8)
    mask = cv2.dilate(mask, kernel, iterations=int(PAINT_SPREAD * size))
    ring = cv2.dilate(mask, kernel, iterations=RING_PX) & ~mask
    if (ring > 0).any():
        image[mask > 0] = np.median(image[ring > 0], axis=0).astype(np.uint8)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", default=["dome8", "dome31"])
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--null", action="store_true")
    what.add_argument("--rules", action="store_true")
    args = parser.parse_args()
    if "test8" in args.captures:
        raise SystemExit("test8 is held out: nothing is measured on it while rules are chosen")
    print(provenance())
    for name in args.captures:
        truth = read_truth(SHARED / "data/rendered" / name)
        (rules if args.rules else null)(truth, args.cache)


if __name__ == "__main__":
    main()
