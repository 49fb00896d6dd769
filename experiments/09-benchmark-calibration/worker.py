"""Our side of the benchmark, run in a process of its own like every peer's.

    worker.py BENCH run SCENE.npz OUT.json [RIG.toml]  calibrate with multiview's public API
    worker.py BENCH ba BOARDS                          our bundle adjustment on the bench's problem
    worker.py BENCH eval SCENE.npz OUT.json            the bench's scores, for longer lenses too
    worker.py BENCH turn SCENE.npz OUT.npz             turned boards turned back, by the truth

BENCH is the path of ``bench_calibration.py``. Runs are timed by the bench's own code, imports
included, as the peers' are.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

LONGEST = 12  # coefficients of the longest Brown lens
NOISE_PX = 0.4  # of the bench's ``ba`` problem
# Between the noise of a scene (0.3 px, so 10 sigma) and its smallest planted outlier (5 px).
GROSS_PX = 3.0


def load_bench(path):
    """The bench as a module, wherever it lies."""
    spec = importlib.util.spec_from_file_location("bench_calibration", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def board_of(s):
    """The scene's board; its corners are numbered row by row, as ours are."""
    from multiview.calib import Board

    across, down, square = int(s["nx"]), int(s["ny"]), float(s["sq"])
    if str(s["kind"]) == "charuco":
        board = Board(
            kind="charuco",
            columns=across + 1,
            rows=down + 1,
            square_m=square,
            marker_m=0.75 * square,
            dictionary="DICT_4X4_1000",
        )
    else:
        board = Board(kind="chessboard", columns=across, rows=down, square_m=square)
    ours, theirs = board.object_points, s["objp"]
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-9)
    return board


def corners_of(bench, s):
    from multiview.calib import BoardCorners

    xy = bench.dense(s)
    return BoardCorners(
        xy_px=xy,
        camera_names=tuple(f"cam{v:02d}" for v in range(len(xy))),
        frame_ids=np.arange(xy.shape[1]),
        sizes_wh=tuple((int(w), int(h)) for w, h in s["sizes"]),
    )


def as_output(rig):
    """A rig in the bench's form; lenses are padded with zeros to one length."""
    lenses = [c.intrinsics for c in rig.cameras]
    if any(i.model == "fisheye" for i in lenses):
        raise ValueError("a fisheye lens was chosen, which the bench cannot score")
    size = max(5, *(i.dist.size for i in lenses))
    d = [np.pad(i.dist, (0, size - i.dist.size)) for i in lenses]
    R, t = rig.cam_from_world
    return {"K": np.stack([i.K for i in lenses]), "d": np.stack(d), "R": R, "t": t}


def given_lenses(path, names):
    """Published lenses of a caliscope rig, by the names of the scene's cameras."""
    from multiview.formats.caliscope import read_caliscope_rig

    rig = read_caliscope_rig(path)
    return {n: c.intrinsics for n, c in zip(names, rig.cameras, strict=True)}


def run_ours(bench, s, published=None):
    from multiview.calib import calibrate_corners

    corners = corners_of(bench, s)
    known = given_lenses(published, corners.camera_names) if published else None
    result = calibrate_corners(corners, board_of(s), intrinsics=known)
    lenses = "lenses chosen: " + ", ".join(e.model for e in result.lenses)
    if any(c.intrinsics.model == "fisheye" for c in result.rig.cameras):
        lenses += "; scored with brown_k3, for the bench has no fisheye"
        result = calibrate_corners(corners, board_of(s), intrinsics=known, lens="brown_k3")
    held = result.heldout
    return {
        **as_output(result.rig),
        "rms": result.rms_px,
        "note": "; ".join([lenses, *result.warnings])[:300],
        "heldout": {"px": held.predicted_px, "mm": held.triangulated_mm},
        "kept": kept(bench, s, result),
    }


def run_ours_wand(bench, s):
    """Points without a board, lenses known: the scene is given as one hand's keypoints."""
    import multiview as mv
    from multiview.calib.scene import calibrate_scene
    from multiview.core import Camera, Detections, Intrinsics, Pose, Rig

    xy = bench.dense(s)
    names = tuple(f"cam{v:02d}" for v in range(len(xy)))
    lenses = [
        Intrinsics(K=K, dist=d, size_wh=(int(w), int(h)))
        for K, d, (w, h) in zip(s["K"], s["d"], s["sizes"], strict=True)
    ]
    unposed = tuple(
        Camera(name=n, intrinsics=i, cam_from_world=Pose.identity())
        for n, i in zip(names, lenses, strict=True)
    )
    detections = Detections(
        xy_px=xy[:, :, None],
        conf=np.isfinite(xy[..., 0])[:, :, None].astype(float),
        camera_names=names,
        frame_ids=np.arange(xy.shape[1]),
        times=np.full(xy.shape[:2], np.nan),
        skeleton=mv.HAND_21,
        source="bench",
        right=np.full((*xy.shape[:2], 1), np.nan),
    )
    R, t = calibrate_scene(detections, Rig(cameras=unposed)).rig.cam_from_world
    return {"K": s["K"], "d": s["d"], "R": R, "t": t}


def kept(bench, s, result):
    """What became of the scene's good corners and wrongly numbered boards (None: no truth).

    A chessboard that was turned in one view may be kept when it was turned back: it is wrong only
    if the numbering of that view disagrees with the other views of the frame.
    """
    if "flag" not in s or "R" not in s:
        return None
    flag = bench.dense(dict(s, xy=np.repeat(s["flag"][:, None], 2, 1).astype(float)))[..., 0]
    first = bench.dense(s)
    used = result.inlier
    renumbered = ~np.isclose(np.nan_to_num(result.corners.xy_px), np.nan_to_num(first)).all(
        (-1, -2)
    )
    turned_in = (flag == 2).any(-1)
    carries = used.sum(-1) >= 0.5 * np.isfinite(first[..., 0]).sum(-1).clip(1)
    if str(s["kind"]) == "charuco":  # alone in its frame, a shifted numbering is a moved board
        wrong = turned_in & carries & (carries.sum(0) > 1)
    else:
        odd = renumbered ^ turned_in
        minority = np.where((odd & carries).sum(0) * 2 > carries.sum(0), False, True)
        wrong = (odd == minority) & carries & ((odd & carries).any(0) & (~odd & carries).any(0))
    back = np.where(renumbered[..., None], used[..., ::-1], used)  # in the numbering of the scene
    good = flag == 0
    return {
        "flipped": int(turned_in.sum()),
        "flipped_kept": int(wrong.sum()),
        "good_lost": float((good & ~back).sum() / good.sum()),
        "bad_kept": int(((flag == 1) & back).sum()),
    }


def adjust_ours(bench, boards):
    """The bench's ``ba`` problem with our adjuster; the same start, the same final cost."""
    s, ba = bench.ba_problem(boards)
    c0 = 0.5 * (ba.residual() ** 2).sum()
    start, cpu0 = time.time(), sum(os.times()[:4])
    note = _adjust(s, ba)
    seconds, cpu = time.time() - start, sum(os.times()[:4]) - cpu0
    r, n = ba.residual(), int((ba.w0 > 0).sum())
    out = {"K": ba.K.tolist(), "d": ba.d.tolist(), "R": ba.R.tolist(), "t": ba.t.tolist()}
    return {
        "method": "ours",
        "cams": 31,
        "boards": boards,
        "views": len(ba.vc),
        "corners": n,
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cost0": float(c0),
        "cost": float(0.5 * (r**2).sum()),
        "rms": float(np.sqrt((r**2).sum() / n)),
        "vol_rms_mm": bench.evaluate(s, out).get("vol_rms_mm"),
        "note": note,
    }


def _adjust(s, ba):
    """All of our adjuster that this experiment knows: internal names, so kept in one place."""
    from multiview.calib.bundle import adjust
    from multiview.calib.layout import LENS_TERMS, lay_out
    from multiview.calib.problem import LENS, Sightings, State
    from multiview.calib.targets import gather_targets
    from multiview.core import Intrinsics

    views, middle = len(ba.K), ba.objp.mean(0)  # ours are about the board's centre
    size = (int(s["sizes"][0][0]), int(s["sizes"][0][1]))
    state = State.start(
        tuple(Intrinsics(K=k, dist=d, size_wh=size) for k, d in zip(ba.K, ba.d, strict=True)),
        (ba.R, ba.t),
        (ba.Rb, ba.tb + ba.Rb @ middle),
        1,
    )
    seen = Sightings(
        view=ba.vc,
        board=ba.vf,
        target=np.zeros(len(ba.vc), int),
        xy_px=np.where(ba.w0[..., None] > 0, ba.uv, np.nan),
        targets=gather_targets([board_of(s)]),
    )
    moving = np.isin(np.arange(LENS), LENS_TERMS["brown_k3"])  # the nine of the bench's lenses
    layout = lay_out(np.arange(views) > 0, np.tile(moving, (views, 1)))
    done = adjust(state, seen, seen.seen, np.full(views, NOISE_PX), layout, robust=False)
    ba.K, ba.R, ba.t = np.stack([i.K for i in done.lenses]), done.cam_R, done.cam_t
    ba.d = np.stack([i.dist for i in done.lenses])
    ba.Rb, ba.tb = done.board_R, done.board_t - done.board_R @ middle
    return "priors on lenses included"


def rational(bench):
    """Teach the bench's projection the longer Brown lenses (OpenCV's order); 5 stay as they are."""
    short, back = bench.project, bench.undistort

    def distort(a, b, d):
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (d[..., i] for i in range(LONGEST))
        r2 = a * a + b * b
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        x = a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a * a) + r2 * (s1 + s2 * r2)
        y = b * radial + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b + r2 * (s3 + s4 * r2)
        return x, y

    def project(X, K, d):
        if d.shape[-1] == 5:
            return short(X, K, d)
        x, y = distort(X[..., 0] / X[..., 2], X[..., 1] / X[..., 2], d)
        return np.stack([K[..., 0, 0] * x + K[..., 0, 2], K[..., 1, 1] * y + K[..., 1, 2]], -1)

    def undistort(uv, K, d, iters=30):
        if d.shape[-1] == 5:
            return back(uv, K, d, iters)
        focal = np.stack([K[..., 0, 0], K[..., 1, 1]], -1)
        n = (uv - K[..., :2, 2]) / focal
        at = n.copy()
        for _ in range(iters):
            at = at - (np.stack(distort(at[..., 0], at[..., 1], d), -1) - n)
        return at

    bench.project, bench.undistort = project, undistort


def turn_back(bench, s):
    """The scene with its turned chessboards numbered right: good data, if one finds out."""
    pid = np.where(s["flag"] == 2, len(s["objp"]) - 1 - s["pid"], s["pid"])
    pose = s["truth3d"][s["frame"]]
    xyz = np.einsum("nij,nj->ni", pose[:, :, :3], s["objp"][pid]) + pose[:, :, 3]
    xyz = np.einsum("nij,nj->ni", s["R"][s["cam"]], xyz) + s["t"][s["cam"]]
    off = np.linalg.norm(bench.project(xyz, s["K"][s["cam"]], s["d"][s["cam"]]) - s["xy"], axis=-1)
    return dict(s, pid=pid, flag=(off > GROSS_PX).astype(int))


def score(bench, scene, out):
    o = json.loads(Path(out).read_text())
    if "error" in o:
        return {"error": o["error"]}
    s = bench.load(scene)
    d = np.array(o["d"], float)
    if d.shape[1] > 5:
        o["d"] = np.pad(d, ((0, 0), (0, LONGEST - d.shape[1])))
        rational(bench)
    return (bench.evaluate if "R" in s else bench.evaluate_real)(s, o)


def main():
    path, command, *rest = sys.argv[1:]
    bench = load_bench(path)
    if command == "run":
        scene, out, *published = rest
        bench.TOOLS["ours"] = lambda s: (
            run_ours_wand(bench, s) if str(s["kind"]) == "wand" else run_ours(bench, s, *published)
        )
        sys.argv = [path, "run", "ours", scene, out]
        bench.main()
    elif command == "turn":
        np.savez_compressed(rest[1], **turn_back(bench, bench.load(rest[0])))
    elif command == "ba":
        print(json.dumps(adjust_ours(bench, int(rest[0]))))
    else:
        print(json.dumps(score(bench, *rest)))


if __name__ == "__main__":
    main()
