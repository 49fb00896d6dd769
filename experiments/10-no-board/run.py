"""Rigs found without a board, against truth and against published rigs.

Run from the repository's root::

    python experiments/10-no-board/run.py [wand] [rendered] [real] [--cache FOLDER]

Captures come from ``$MULTIVIEW_SHARED/data``, the wand scenes and their peers from
``$MULTIVIEW_SHARED/bench`` (``../shared`` by default).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import multiview as mv
from multiview.association import assign_hands
from multiview.calib.scene import calibrate_scene
from multiview.calib.scene_problem import SceneState
from multiview.calib.scene_refine import refine_rig
from multiview.calib.scene_result import SceneResult
from multiview.calib.scene_scale import align_poses
from multiview.calib.so3 import rotation_angle
from multiview.core import Camera, Detections, Intrinsics, Pose, Rig
from multiview.formats.caliscope import read_caliscope_rig, read_holistic_csv
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.geometry.align import estimate_alignment
from multiview.stage import provenance

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))


def row(name, *values):
    print(f"| {name:<34} | " + " | ".join(f"{v:>11}" for v in values) + " |")


# ------------------------------------------------------------------------------- wand scenes
def bench():
    path = SHARED / "bench" / "bench_calibration.py"
    spec = importlib.util.spec_from_file_location("bench_calibration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scene_detections(b, s):
    """The scene as detections, and its true lenses (poses are not read)."""
    xy = b.dense(s)
    names = tuple(f"cam{v:02d}" for v in range(len(s["K"])))
    cameras = tuple(
        Camera(
            name=n,
            intrinsics=Intrinsics(K=K, dist=d, size_wh=tuple(size)),
            cam_from_world=Pose.identity(),
        )
        for n, K, d, size in zip(names, s["K"], s["d"], s["sizes"], strict=True)
    )
    dets = Detections(
        xy_px=xy[:, :, None],
        conf=np.isfinite(xy[..., 0])[:, :, None].astype(float),
        camera_names=names,
        frame_ids=np.arange(xy.shape[1]),
        times=np.full(xy.shape[:2], np.nan),
        skeleton=mv.HAND_21,
        source="bench",
        right=np.full((*xy.shape[:2], 1), np.nan),
    )
    return dets, Rig(cameras=cameras)


def ours(b, s):
    dets, lenses = scene_detections(b, s)
    R, t = calibrate_scene(dets, lenses).rig.cam_from_world
    return {"K": s["K"], "d": s["d"], "R": R, "t": t}


def wand():
    b = bench()
    print("\nwand scenes: intrinsics known, 1 px noise, 2 % outliers of 8 to 80 px")
    row("scene, tool", "vol rms mm", "turn deg", "turn max", "place mm", "place max", "CPU s")
    tools = {"oracle_wand": b.run_oracle_wand, "ours": lambda s: ours(b, s)}
    tools["ref_wand"] = b.run_ref_wand
    if importlib.util.find_spec("pycalib"):
        tools["pycalib_wand"] = b.run_pycalib_wand
    for name in ("wand4", "wand8", "wand31"):
        s = b.gen(name)
        for tool, run in tools.items():
            began = time.process_time()
            try:
                with np.errstate(all="ignore"):
                    out = run(s)
                    cpu = time.process_time() - began
                    e = b.evaluate(s, {k: np.asarray(out[k]) for k in "KdRt"})
            except Exception as error:  # a peer that fails is a row too
                row(f"{name} {tool}", f"{type(error).__name__}")
                continue
            keys = ("vol_rms_mm", "rot_deg", "rot_max", "tr_mm", "tr_max")
            row(f"{name} {tool}", *(f"{e[k]:.4f}" for k in keys), f"{cpu:.1f}")


# ------------------------------------------------------------------------------- poses
def similar(result_rig, truth):
    """Rig brought onto the truth by a similarity of all cameras (least squares)."""
    A, B = result_rig.centres_world, truth.centres_world
    Ra, Rb = result_rig.cam_from_world[0], truth.cam_from_world[0]
    if len(A) > 2:
        s, Q, d = estimate_alignment(A, B, with_scale=True)
    else:
        R, t = result_rig.cam_from_world
        state = SceneState(R=R, t=t, log_focal=np.zeros(len(R)), xyz=np.zeros((0, 3)))
        s, Q, d = align_poses(state, truth)
    turn = np.rad2deg(rotation_angle(Ra @ Q.T @ np.swapaxes(Rb, -1, -2)))
    place = np.linalg.norm(s * A @ Q.T + d - B, axis=1)
    return s, turn, place


def relative(rig, truth):
    """Errors of all pairs' relative rotations and directions: no alignment is involved."""
    Ra, Rb = rig.cam_from_world[0], truth.cam_from_world[0]
    turn, way = [], []
    for i in range(len(Ra)):
        for j in range(i + 1, len(Ra)):
            turn.append(rotation_angle(Ra[j] @ Ra[i].T @ Rb[i] @ Rb[j].T))
            a = Ra[i] @ (rig.centres_world[j] - rig.centres_world[i])
            b = Rb[i] @ (truth.centres_world[j] - truth.centres_world[i])
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            way.append(np.arccos(np.clip(cosine, -1, 1)))
    return np.rad2deg(turn), np.rad2deg(way)


def figures(name, result: SceneResult, truth, seconds, factor=1000.0, warn=True):
    _, turn, place = similar(result.rig, truth)
    pair_turn, pair_way = relative(result.rig, truth)
    row(
        name,
        f"{turn.mean():.3f}",
        f"{turn.max():.3f}",
        f"{factor * place.mean():.2f}",
        f"{factor * place.max():.2f}",
        f"{np.median(pair_turn):.3f}",
        f"{np.median(pair_way):.3f}",
        f"{result.rms_px:.2f}",
        f"{result.alike:.1f}",
        f"{seconds:.1f}",
    )
    for w in result.warnings if warn else ():
        print(f"    look at: {w}")


HEADER = ("turn deg", "turn max", "place", "place max", "pair turn", "pair way", "rms px", "alike")


def timed(run, *args, **options):
    began = time.process_time()
    return run(*args, **options), time.process_time() - began


# ------------------------------------------------------------------------------- rendered
def rendered_truth(folder):
    data = json.loads((folder / "calibration.json").read_text())["cameras"]
    return Rig(
        cameras=tuple(
            Camera(
                name=c["name"],
                intrinsics=Intrinsics(
                    K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
                ),
                cam_from_world=Pose(R=np.array(c["R"]), t=np.array(c["t"])),
            )
            for c in data
        )
    )


def detected(cache, name, capture):
    """Detections of a take, kept in the cache folder."""
    path = cache / f"{name}.parquet"
    if not path.exists():
        write_detections(mv.detect(capture(), mv.load_detector("hand")), path)
    return read_detections(path)


def at_truth(folder, dets, noise_px):
    """Return the found points at their true places plus independent noise."""
    truth = np.load(folder / "truth.npz")["kp2d"].transpose(1, 0, 2, 3)[:, :, None]
    found = dets.valid
    noise = np.random.default_rng(0).normal(0, noise_px, dets.xy_px.shape)
    return replace(dets, xy_px=np.where(found[..., None], truth + noise, np.nan))


def rendered(cache):
    print("\nrendered captures, our detector, true lenses; place in mm after a similarity")
    row("capture", *HEADER, "CPU s")
    for name in ("dome8", "dome31"):
        folder = SHARED / "data" / "rendered" / name
        truth = rendered_truth(folder)
        take = folder / "images"
        dets = detected(cache, name, lambda take=take: mv.open_capture(take, sync="index"))
        result, seconds = timed(calibrate_scene, dets, truth)
        figures(f"{name} from hands", result, truth, seconds)
        result, seconds = timed(refine_rig, truth, dets)
        figures(f"{name} adjusted from the truth", result, truth, seconds, warn=False)
        sorted_dets, _ = assign_hands(dets, truth)
        for noise in (1.0, 4.0):
            clean = at_truth(folder, sorted_dets, noise)
            result, seconds = timed(calibrate_scene, clean, truth)
            figures(f"{name} truth + {noise:.0f} px noise", result, truth, seconds, warn=False)


def real(cache):
    print("\nreal captures against the published rigs")
    row("capture", *HEADER, "CPU s")
    folder = SHARED / "data" / "pyxy3d_4cam_holistic"
    published = read_caliscope_rig(folder / "config.toml")
    csv = folder / "recording_1/HOLISTIC/xy_HOLISTIC.csv"
    dets = read_holistic_csv(csv)
    result, seconds = timed(calibrate_scene, dets, published)
    figures("pyxy3d from hands", result, published, seconds)
    result, seconds = timed(refine_rig, published, dets)
    figures("pyxy3d adjusted from published", result, published, seconds)
    folder = SHARED / "data" / "handpose3d_2cam"
    rig = read_handpose3d_rig(folder, (720, 720))

    def capture():
        path = cache / "capture.yaml"
        media = (folder / "media").resolve()
        lines = [f"  cam{n}: {{path: {media / f'cam{n}_test.mp4'}}}\n" for n in (0, 1)]
        path.write_text("cameras:\n" + "".join(lines))
        return mv.open_capture(path)

    dets = detected(cache, "handpose3d", capture)
    result, seconds = timed(calibrate_scene, dets, rig)
    figures("handpose3d (board squares)", result, rig, seconds, factor=1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["wand", "rendered", "real"])
    parser.add_argument("--cache", type=Path, default=Path("out/no-board"))
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"skipped: no captures in {SHARED} (set MULTIVIEW_SHARED)")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    print(platform.processor() or platform.machine(), provenance())
    if "wand" in arguments.parts:
        wand()
    if "rendered" in arguments.parts:
        rendered(arguments.cache)
    if "real" in arguments.parts:
        real(arguments.cache)


if __name__ == "__main__":
    main()
