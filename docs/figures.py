"""Draw the figures of docs/how.md: from a run of `multiview demo`, and from experiments' tables.

``python docs/figures.py [RUN]``, RUN being out/demo; they are written to docs/images.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import multiview as mv
from multiview.association import as_triangulated
from multiview.geometry.dlt import pair_points, view_pairs
from multiview.page.document import standalone_svg
from multiview.page.plots import COLOURS, curves
from multiview.page.svg import INK, LINE, MUTED, heat, picture, polyline, tag, text
from multiview.stage import read_manifest
from multiview.stages.demo import demo_data
from multiview.stages.evaluate import align_to_truth, read_truth
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

DOCS = Path(__file__).parent
OUT = DOCS / "images"
CURVE = DOCS.parent / "experiments" / "16-views-curve" / "README.md"
RIGHT = 1  # the demo shows one right hand
# Of 2D errors of noise s, 99 % are below 3.03 s and half below 1.18 s (Rayleigh); of 3D errors,
# 95 % lie in the ellipsoid of 2.80 standard deviations (chi, three degrees of freedom).
SURE, HALF, ELLIPSOID = 3.03, 1.18, 2.80
TILE = 200


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo left: detections in the order of the points, and the truth in their world."""

    take: Any
    rig: mv.Rig
    dets: mv.Detections
    points: mv.Points3D
    truth: np.ndarray
    noise_px: float


def read_demo(run: Path) -> Demo:
    """Read a run of the demo."""
    rig = mv.load(run / "calibrate" / "rig.yaml")
    points = mv.load(run / "triangulate" / "points.parquet")
    found = mv.load(run / "detect" / "detections.parquet")
    R, t = align_to_truth(rig, mv.load(demo_data() / "rig_truth.yaml"))
    truth = (read_truth(demo_data() / "truth.npz").reshape(60, -1, 21, 3)[:, -1] - t) @ R
    half = read_manifest(run / "triangulate")["figures"]["reprojection_median_px"]
    return Demo(
        take=mv.open_capture(demo_data() / "take"),
        rig=rig,
        dets=as_triangulated(found, points, rig),
        points=points,
        truth=truth,
        noise_px=half / HALF,
    )


def telling_frame(demo: Demo) -> int:
    """Return the frame with the most rejected keypoints, of those with a missed view if any."""
    seen = np.isfinite(demo.dets.xy_px[:, :, RIGHT]).all(-1)
    rejected = (seen & ~demo.points.inlier[:, :, RIGHT]).sum((0, 2))
    missed = (~seen.any(-1)).any(0)
    return int(np.argmax(rejected * (missed if missed.any() else 1)))


def views(demo: Demo, frame: int) -> np.ndarray:
    """Draw a frame in all views: what was detected, then what the 3D says."""
    skeleton = demo.points.skeleton
    again = demo.rig.project(demo.points.xyz_world[frame, RIGHT])
    rows: list[list[np.ndarray]] = [[] for _ in range(2 * ((len(demo.rig.names) - 1) // 4 + 1))]
    for v, name in enumerate(demo.rig.names):
        ((_, image),) = demo.take.images(v, frame, frame + 1)
        crop, affine = crop_square(image, again[v], TILE, 1.7)
        scale = affine[0, 0]
        seen = demo.dets.xy_px[v, frame, RIGHT] * scale + affine[:, 2]
        kept = demo.points.inlier[v, frame, RIGHT]
        first, second = crop.copy(), crop
        draw_hand(first, seen, skeleton, Layer.SOLID, 0.5)
        draw_hand(second, again[v] * scale + affine[:, 2], skeleton, Layer.HOLLOW, 0.5)
        draw_hand(second, np.where(kept[:, None], np.nan, seen), skeleton, Layer.CROSS, 0.6)
        caption(first, name if np.isfinite(seen).any() else f"{name}: missed", 0.4)
        caption(second, f"{int(kept.sum())} of 21 agree", 0.4)
        rows[v // 4 * 2].append(first)
        rows[v // 4 * 2 + 1].append(second)
    return contact_sheet(rows)


def telling_point(demo: Demo) -> tuple[int, int]:
    """Return frame and keypoint with three views that disagree, the farthest off."""
    inlier, err = demo.points.inlier[:, :, RIGHT], demo.points.err_px[:, :, RIGHT]
    wrong = np.isfinite(err) & ~inlier
    # three wrong views make a vote worth looking at; five right ones make it sure
    good = (wrong.sum(0) == 3) & (inlier.sum(0) == 5)
    spread = np.where(good, np.where(wrong, err, 0).sum(0), -1)
    return tuple(int(n) for n in np.unravel_index(np.argmax(spread), spread.shape))


def vote(demo: Demo, frame: int, keypoint: int) -> str:
    """Draw how many views agree with the point of every pair of views."""
    n = len(demo.rig.names)
    xy = demo.dets.xy_px[:, frame, RIGHT, keypoint]
    pose = [c.cam_from_world for c in demo.rig.cameras]
    first, second = view_pairs(n)
    norm = demo.rig.undistort(xy[:, None])[:, 0]
    R, t = np.stack([p.R for p in pose]), np.stack([p.t for p in pose])
    xyz = pair_points(R, t, norm[:, None], (first, second))[:, 0]
    miss = np.linalg.norm(demo.rig.project(xyz) - xy[:, None], axis=-1)
    agree = (miss < SURE * demo.noise_px).sum(0)
    cell, left = 36.0, 64.0
    body = []
    for v, name in enumerate(demo.rig.names):
        kept = demo.points.inlier[v, frame, RIGHT, keypoint]
        colour = INK if kept else COLOURS[1]
        at = (v + 0.68) * cell + 34
        body.append(text(left - 8, at, name, font_size=12, fill=colour, text_anchor="end"))
        body.append(_head(left + (v + 0.5) * cell, 24, name, colour))
    for a, b, count in zip(first, second, agree, strict=True):
        for row, column in ((a, b), (b, a)):
            body.append(_cell(left + column * cell, 34 + row * cell, cell, count, n))
    name = demo.points.skeleton.keypoints[keypoint]
    body.append(_caption(left, 34 + n * cell + 22, f"{name}, frame {frame}: views that agree with"))
    body.append(_caption(left, 34 + n * cell + 40, "the point of each pair. Orange: out-voted."))
    size = left + n * cell + 14
    return picture(size, 34 + n * cell + 50, "".join(body), "Vote of all pairs of views")


def _head(x: float, y: float, name: str, colour: str) -> str:
    short = name.removeprefix("cam")
    return text(x, y, short, font_size=12, fill=colour, text_anchor="middle")


def _cell(x: float, y: float, size: float, count: int, of: int) -> str:
    share = (count - 2) / (of - 2)
    fill = tag("rect", x=x, y=y, width=size - 2, height=size - 2, fill=heat(share), rx="3")
    ink = "#ffffff" if share > 0.55 else INK
    number = text(x + size / 2 - 1, y + size / 2 + 4, str(count), font_size=12, fill=ink)
    return fill + number.replace("<text", '<text text-anchor="middle"', 1)


def _caption(x: float, y: float, body: str) -> str:
    return text(x, y, body, font_size=12, fill=MUTED)


def ellipsoids(demo: Demo, frame: int) -> str:
    """Draw a hand from two sides with the 95 % ellipsoids of its points and the truth."""
    xyz, cov = demo.points.xyz_world[frame, RIGHT], demo.points.cov[frame, RIGHT]
    truth = demo.truth[frame]
    axes = np.linalg.svd(truth - truth.mean(0))[2]  # length, breadth and thickness of the hand
    body, width, height = [], 300.0, 320.0
    scale = 250.0 / np.ptp((truth - truth.mean(0)) @ axes[0])
    for panel, (across, title) in enumerate(((axes[1], "from the front"), (axes[2], "from aside"))):
        plane = np.stack([across, axes[0]])
        place = np.array([width * (panel + 0.5), 172.0])
        points = (xyz - truth.mean(0)) @ plane.T * scale + place
        true = (truth - truth.mean(0)) @ plane.T * scale + place
        body += _bones(true, demo.points.skeleton.edges)
        for k in range(len(points)):
            spread = plane @ cov[k] @ plane.T
            body.append(_ellipse(points[k], spread * scale**2, demo.points.skeleton.colors[k]))
            body.append(tag("circle", cx=true[k, 0], cy=true[k, 1], r=2.0, fill=INK))
        body.append(_caption(width * panel + 16, 20, title))
    x = width - 30
    body.append(tag("path", d=f"M{x:.1f} {height - 14:.1f}h{scale * 0.02:.1f}", stroke=INK))
    body.append(_caption(x, height - 20, "2 cm"))
    return picture(2 * width, height, "".join(body), "Error ellipsoids and the truth")


def _bones(xy: np.ndarray, edges: Iterable[tuple[int, int]]) -> list[str]:
    return [polyline(xy[[a, b]], stroke=MUTED, stroke_width="1.2") for a, b in edges]


def _ellipse(at: np.ndarray, cov: np.ndarray, rgb: tuple[int, int, int]) -> str:
    if not np.isfinite(cov).all():
        return ""
    values, vectors = np.linalg.eigh(cov)
    long, short = ELLIPSOID * np.sqrt(values[::-1])
    turn = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    colour = "#{:02x}{:02x}{:02x}".format(*rgb)
    place = f"translate({at[0]:.1f} {at[1]:.1f}) rotate({turn:.1f})"
    shape = {"rx": float(long), "ry": float(short), "fill": colour, "stroke": colour}
    return tag("ellipse", transform=place, fill_opacity="0.25", stroke_width="1.2", **shape)


def views_curve() -> str:
    """Draw the errors of experiments/16 (dome31, whole fingers, guided) over the views."""
    part = CURVE.read_text(encoding="utf-8").split("### dome31, finger mode")[1].split("###")[0]
    rows = [r.split("|")[1:-1] for r in re.findall(r"^\| +\d+ \| guided .*$", part, re.MULTILINE)]
    table = np.array([[float(c) for c in (r[0], *r[2:])] for r in rows])
    view, rms, told = table[:, 0], table[:, 5], table[:, 6]
    lines = {
        "measured, rms": (view, rms),
        "rms if views erred each by itself": (view, told),
        "95 % are below": (view, table[:, 4]),
    }
    return curves(lines, "views", "Error over the number of views, mm", top=18.0)


BOXES = {
    "footage of all views": (20, 40, "start"),
    "detect in every view": (230, 40, "verb"),
    "triangulate by vote": (440, 40, "verb"),
    "choose what is safe": (440, 130, "verb"),
    "label all views": (230, 130, "verb"),
    "train": (20, 130, "verb"),
    "score on held-out pictures": (20, 220, "verb"),
    "the best detector": (440, 220, "end"),
}
ARROWS = (
    ("M190 65H225", ""),
    ("M400 65H435", ""),
    ("M525 90V125", ""),
    ("M440 155H405", ""),
    ("M230 155H195", ""),
    ("M105 180V215", ""),
    ("M190 245H435", "no longer better"),
    ("M20 245H8V12H315V35", "better: next round"),
)


def loop() -> str:
    """Draw the loop of multiview bootstrapping."""
    body = [
        tag(
            "marker",
            tag("path", d="M0 0L8 4L0 8z", fill=MUTED),
            id="tip",
            markerWidth="8",
            markerHeight="8",
            refX="6",
            refY="4",
            orient="auto",
            markerUnits="userSpaceOnUse",
        )
    ]
    fills = {"start": "#eef2f5", "verb": "#e3eef8", "end": "#e4f4ee"}
    for name, (x, y, kind) in BOXES.items():
        box = {"x": float(x), "y": float(y), "width": 170.0, "height": 50.0, "rx": "8"}
        body.append(tag("rect", **box, fill=fills[kind], stroke=LINE))
        body.append(text(x + 85, y + 30, name, font_size=13, fill=INK, text_anchor="middle"))
    for path, name in ARROWS:
        line = {"stroke": MUTED, "stroke_width": "1.6", "fill": "none", "marker_end": "url(#tip)"}
        body.append(tag("path", d=path, **line))
        x, y = (20, 30) if name.startswith("better") else (262, 238)
        body.append(_caption(x, y, name) if name else "")
    return picture(630, 285, "".join(body), "The loop of multiview bootstrapping")


def main(run: Path) -> None:
    """Write all figures."""
    demo = read_demo(run)
    frame = telling_frame(demo)
    sheet = OUT / "how-views.jpg"
    cv2.imwrite(str(sheet), views(demo, frame), [cv2.IMWRITE_JPEG_QUALITY, 82])
    drawn = {
        "how-vote": vote(demo, *telling_point(demo)),
        "how-ellipsoids": ellipsoids(demo, frame),
        "how-views-curve": views_curve(),
        "how-loop": loop(),
    }
    for name, svg in drawn.items():
        (OUT / f"{name}.svg").write_text(standalone_svg(svg) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo"))
