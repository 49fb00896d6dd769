"""Real captures: the chain beside plain DLT and beside published 3D points, in one run."""

import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv

import multiview as mv
from multiview.formats.atomic import write_text
from multiview.formats.caliscope import read_caliscope_rig, read_holistic_csv
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.geometry.dlt import dlt
from multiview.geometry.metrics import bone_variation
from multiview.stage import provenance
from multiview.triangulation import TriangulationConfig, triangulate_with_report

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from dannce import SIZE_WH, read_mouse

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))


def row(name, *values):
    print(f"| {name:<44} | " + " | ".join(f"{v:>9}" for v in values) + " |")


def plain_dlt(rig, xy_px):
    """Linear triangulation of every keypoint from all views, no vote."""
    shape = xy_px.shape[1:-1]
    flat = rig.undistort(xy_px).reshape(len(xy_px), -1, 2)
    return dlt(*rig.cam_from_world, flat).reshape(*shape, 3)


def reprojection(rig, xyz, xy_px):
    return np.linalg.norm(rig.project(xyz) - xy_px, axis=-1)


def two_cameras(folder):
    rig = read_handpose3d_rig(folder, (720, 720))
    with tempfile.TemporaryDirectory() as work:
        text = "cameras:\n" + "".join(
            f"  cam{n}: {{path: {(folder / 'media' / f'cam{n}_test.mp4').resolve()}}}\n"
            for n in (0, 1)
        )
        path = write_text(Path(work) / "capture.yaml", text)
        dets = mv.detect(mv.open_capture(path), mv.load_detector("hand"))
    points, report = triangulate_with_report(dets, rig)
    h = int(points.valid.sum((0, 2)).argmax())
    both = (dets.valid.any((-1, -2)).sum(0) == 2).sum()
    first = plain_dlt(rig, dets.xy_px[:, :, :1])[:, 0]
    plain = reprojection(rig, first, dets.xy_px[:, :, 0])
    ours = points.err_px[points.inlier]
    print("\nhandpose3d_2cam: 2 cameras, 378 frames, one hand, no truth")
    row("", "plain DLT", "multiview")
    row("frames with 3D", np.isfinite(first[:, 0, 0]).sum(), points.valid[:, h].any(-1).sum())
    row("frames with a hand in both views", both, both)
    row("keypoints accepted in those, %", "100.0", f"{points.valid[:, h].sum() / 21 / both:.1%}")
    row("reprojection median, px", f"{np.nanmedian(plain):.2f}", f"{np.median(ours):.2f}")
    row(
        "reprojection 90 %, px",
        f"{np.nanpercentile(plain, 90):.2f}",
        f"{np.percentile(ours, 90):.2f}",
    )
    cv = [
        np.nanmedian(bone_variation(x, points.skeleton.edges))
        for x in (first, points.xyz_world[:, h])
    ]
    row("bone length variation, median", *(f"{c:.3f}" for c in cv))
    row("points with a vote (3 views)", "-", f"{points.voted.sum()}")
    print(f"hand length {report.hand_length:.2f} board squares")


def published(folder, dets):
    """3D points of the data set itself, (F, H, K, 3)."""
    table = pacsv.read_csv(folder / "recording_1/HOLISTIC/xyz_HOLISTIC.csv")
    c = {n: np.asarray(table[n].to_numpy()) for n in table.column_names}
    out = np.full((*dets.xy_px.shape[1:4], 3), np.nan)
    frame = {int(i): n for n, i in enumerate(dets.frame_ids)}
    for h, base in enumerate((200, 100)):
        k = c["point_id"] - base
        ok = (k >= 0) & (k < 21)
        f = np.array([frame[int(i)] for i in c["sync_index"][ok]])
        xyz = np.stack([c[f"{a}_coord"][ok] for a in "xyz"], -1)
        out[f, h, k[ok].astype(int)] = xyz
    return out


def four_cameras(folder):
    rig = read_caliscope_rig(folder / "config.toml")
    csv = folder / "recording_1/HOLISTIC/xy_HOLISTIC.csv"
    trusted = read_holistic_csv(csv, trust_sides=True)
    theirs = published(folder, trusted)
    columns = {"published": (theirs, reprojection(rig, theirs, trusted.xy_px), None)}
    for name, trust, tau in (
        ("labels kept", True, 0.045),
        ("associated", False, 0.045),
        ("assoc. 0.1", False, 0.1),
    ):
        dets = read_holistic_csv(csv, trust_sides=trust)
        points, report = triangulate_with_report(dets, rig, TriangulationConfig(inlier_hand=tau))
        columns[name] = (points.xyz_world, points.err_px, (points, report))
    print("\npyxy3d_4cam_holistic: 4 webcams, 267 frames, two hands, left/right swapped in views")
    row("", *columns)
    for h, side in enumerate(("left", "right")):
        good = []
        for _, err, extra in columns.values():
            keep = np.isfinite(err[:, :, h]) if extra is None else extra[0].inlier[:, :, h]
            good.append(f"{np.nanmedian(err[:, :, h][keep]):.1f}")
        row(f"{side}: reprojection median of views used, px", *good)
        row(
            f"{side}: keypoints with 3D, of all frames",
            *(f"{np.isfinite(x[:, h, :, 0]).mean():.0%}" for x, _, _ in columns.values()),
        )
        row(
            f"{side}: observations marked as outliers",
            "none",
            *(share_of_outliers(e[0], h) for _, _, e in list(columns.values())[1:]),
        )
        row(
            f"{side}: reprojection median of outliers, px",
            "-",
            *(outlier_error(e[0], h) for _, _, e in list(columns.values())[1:]),
        )
        row(
            f"{side}: bone length variation, median",
            *(
                f"{np.nanmedian(bone_variation(x[:, h], mv.HAND_21.edges)):.2f}"
                for x, _, _ in columns.values()
            ),
        )
    reports = [e[1] for _, _, e in list(columns.values())[1:]]
    row("left/right opinions overruled", "-", *(r.moved for r in reports))
    row("observations that agree", "-", *(f"{r.hit_rate:.0%}" for r in reports))
    row("hand length, mm", "-", *(f"{r.hand_length * 1000:.0f}" for r in reports))


def share_of_outliers(points, h):
    observed = np.isfinite(points.err_px[:, :, h]).sum()
    return f"{1 - points.inlier[:, :, h].sum() / max(1, observed):.0%}"


def outlier_error(points, h):
    err = points.err_px[:, :, h]
    out = err[np.isfinite(err) & ~points.inlier[:, :, h]]
    return f"{np.median(out):.0f}" if out.size else "-"


def mice(folder):
    """22 labelled points of an animal: what triangulation knows of hands must not matter."""
    print(
        "\ndannce_mouse6: 6 cameras, 2 x 10 frames, 22 labelled points, rig in mm, no bones stated"
    )
    row("", *(f"mouse {n} {u}" for n in (1, 2) for u in ("finger", "keypoint")))
    cells = {"keypoints with 3D, of those labelled, %": [], "reprojection median / worst, px": []}
    cells |= {"from the published 3D, worst, mm": [], "2 px noise, 10 % wrong: median, mm": []}
    for n in (1, 2):
        mouse = read_mouse(folder / f"markerless_mouse_{n}" / "label3d_demo.mat")
        for unit in ("finger", "keypoint"):
            config = TriangulationConfig(unit=unit)
            points = mv.triangulate(mouse.labels, mouse.rig, config)
            there = np.isfinite(mouse.xyz).all(-1)
            err = points.err_px[points.inlier]
            off = np.linalg.norm(points.xyz_world[:, 0] - mouse.xyz, axis=-1)
            noisy = mv.triangulate(spoiled(mouse.labels), mouse.rig, config)
            rough = np.linalg.norm(noisy.xyz_world[:, 0] - mouse.xyz, axis=-1)
            values = (
                f"{points.valid[:, 0][there].mean():.1%}",
                f"{np.median(err):.0e} / {err.max():.0e}",
                f"{np.nanmax(off):.0e}",
                f"{np.nanmedian(rough):.2f}",
            )
            for name, value in zip(cells, values, strict=True):
                cells[name].append(value)
    for name, values in cells.items():
        row(name, *values)


def spoiled(dets):
    """Labels as a detector of 2 px noise would give them, one in ten anywhere in the picture."""
    rng = np.random.default_rng(0)
    xy = dets.xy_px + rng.normal(0, 2, dets.xy_px.shape)
    wrong = rng.random(dets.conf.shape) < 0.1
    anywhere = rng.uniform(0, SIZE_WH, xy.shape)
    return replace(dets, xy_px=np.where((wrong & dets.valid)[..., None], anywhere, xy))


def main():
    data = SHARED / "data"
    if not data.is_dir():
        sys.exit(f"skipped: no captures in {SHARED} (set MULTIVIEW_SHARED)")
    print(platform.processor() or platform.machine(), provenance())
    two_cameras(data / "handpose3d_2cam")
    four_cameras(data / "pyxy3d_4cam_holistic")
    mice(data / "dannce_mouse6")


if __name__ == "__main__":
    main()
