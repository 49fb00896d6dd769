"""Who is who, which finger is which: association, tracks and repair on truth and a real capture."""

import os
import platform
from pathlib import Path

import numpy as np
from repairs import PRETENDERS, pretenders, swaps
from scenes import measure, scene

from multiview.association import associate
from multiview.association.sides import BENT, bend
from multiview.formats.caliscope import read_caliscope_rig, read_holistic_csv
from multiview.geometry.metrics import bone_variation
from multiview.smoothing.take import smooth
from multiview.stage import provenance
from multiview.triangulation import TriangulationConfig, triangulate_with_report

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
FRAMES = {4: 300, 8: 300, 31: 150}
SEEDS = {4: 3, 8: 3, 31: 1}


def row(*values):
    print("| " + " | ".join(str(v) for v in values) + " |", flush=True)


def association():
    print("\n## Hands that cross, are away, are found twice\n")
    row(
        "views",
        "hands",
        "away",
        "identity switches",
        "tracks",
        "candidates in a wrong hand",
        "hands found",
        "false hands a frame",
        "side right",
        "frames/s",
    )
    row(*["---"] * 10)
    for views in FRAMES:
        for people in (1, 2):
            for away in (0.0, 1.0):
                got = [
                    measure(*scene(s, views, people, FRAMES[views], away_s=away), 2 * people)
                    for s in range(SEEDS[views])
                ]
                mean = {k: float(np.mean([g[k] for g in got])) for k in got[0]}
                row(
                    views,
                    2 * people,
                    f"{away:.0f} s",
                    f"{sum(g['switches'] for g in got)} in {len(got) * FRAMES[views]} frames",
                    "+".join(str(g["tracks"]) for g in got),
                    f"{mean['wrong']:.2%}",
                    f"{mean['found']:.1%}",
                    f"{mean['ghosts']:.4f}",
                    f"{mean['side']:.1%}",
                    f"{mean['frames_s']:.0f}",
                )


def repair():
    print("\n## Fingers and hands confused at known rates, two hands\n")
    row(
        "views",
        "fingers, hands confused",
        "hands in views confused",
        "found",
        "false",
        "error median / p95 mm without",
        "with",
        "over 10 mm without",
        "with",
        "points without",
        "with",
        "CPU s triangulate, search",
    )
    row(*["---"] * 12)
    for views in FRAMES:
        for fingers, hands in ((0.0, 0.0), (0.05, 0.0), (0.1, 0.0), (0.0, 0.1)):
            got = swaps(views, FRAMES[views], finger_swaps=fingers, hand_swaps=hands)
            a, b = got["without"], got["with"]
            row(
                views,
                f"{fingers:.0%}, {hands:.0%}",
                got["confused"],
                f"{got['found']:.0%}",
                f"{got['false']} of {got['of']}",
                f"{a[0]:.2f} / {a[1]:.2f}",
                f"{b[0]:.2f} / {b[1]:.2f}",
                f"{a[3]:.2%}",
                f"{b[3]:.2%}",
                f"{a[2]:.1%}",
                f"{b[2]:.1%}",
                ", ".join(f"{s:.2f}" for s in got["seconds"]),
            )
    print("\n## Nothing confused: false repairs\n")
    row("footage", *(f"{v} views" for v in (4, 5, 8)))
    row(*["---"] * 4)
    total = np.zeros(2, int)
    for kind in PRETENDERS:
        got = [pretenders(kind, v, 300) for v in (4, 5, 8)]
        total += np.sum(got, axis=0)
        row(kind, *(f"{false} of {hands}" for hands, false in got))
    print(f"\n{total[1]} false in {total[0]} hands in views")


def real():
    folder = SHARED / "data" / "pyxy3d_4cam_holistic"
    if not folder.is_dir():
        print(f"\nreal capture skipped: {folder} is not there (set MULTIVIEW_SHARED)")
        return
    rig = read_caliscope_rig(folder / "config.toml")
    csv = folder / "recording_1/HOLISTIC/xy_HOLISTIC.csv"
    print("\n## pyxy3d_4cam_holistic: 4 webcams, 267 frames, two hands\n")
    row(
        "labels",
        "unit",
        "repair",
        "smooth",
        "px of inliers, left / right",
        "keypoints with 3D, of all",
        "bone variation, median",
        "sides changed per camera",
        "put right",
        "noise px",
    )
    row(*["---"] * 10)
    for trust in (True, False):
        dets = read_holistic_csv(csv, trust_sides=trust)
        for unit in ("finger", "keypoint"):
            for fix, steady in ((False, False), (True, False), (True, True)):
                config = TriangulationConfig(unit=unit, repair=fix)
                points, report = triangulate_with_report(dets, rig, config)
                if steady:
                    points = smooth(points, dets, rig)
                px = [np.median(points.err_px[:, :, h][points.inlier[:, :, h]]) for h in (0, 1)]
                share = [points.valid[:, h].mean() for h in (0, 1)]
                bone = [
                    np.nanmedian(bone_variation(points.xyz_world[:, h], points.skeleton.edges))
                    for h in (0, 1)
                ]
                row(
                    "kept" if trust else "associated",
                    unit,
                    "yes" if fix else "no",
                    "yes" if steady else "no",
                    " / ".join(f"{v:.1f}" for v in px),
                    " / ".join(f"{v:.0%}" for v in share),
                    " / ".join(f"{v:.2f}" for v in bone),
                    report.swapped_hands,
                    report.repairs or "-",
                    f"{report.sigma_px:.1f}",
                )
                print_once = (not trust) and unit == "finger" and not fix
                if print_once:
                    note = (
                        f"{report.moved} opinions overruled, {report.unassigned} of "
                        f"{dets.valid.any(-1).sum()} candidates in no hand"
                    )
    print(f"\nassociated: {note}")
    bends(associate(dets, rig))


def bends(got):
    """How often the way the fingers bend says the side that all views and frames voted for."""
    said = bend(got.xyz_world, got.detections.skeleton)
    told = (got.detections.valid.any(-1).sum(0) >= 3) & (np.abs(said) > 0)
    right = (said > 0) == np.array([False, True])
    clear = told & (np.abs(said) > BENT)
    print(
        f"bending of the fingers agrees with the voted side in {right[told].mean():.0%} of "
        f"{told.sum()} hands of three views and more, {right[clear].mean():.0%} of "
        f"{clear.sum()} with a clear bend"
    )


def main():
    print(platform.processor() or platform.machine(), provenance())
    association()
    repair()
    real()


if __name__ == "__main__":
    main()
