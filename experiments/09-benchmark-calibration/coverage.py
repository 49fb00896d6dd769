"""Does the reported uncertainty hold? Repeats on new rigs and footage, run with our interpreter.

    coverage.py BENCH FIRST COUNT    prints one JSON line: errors and standard deviations

Errors are taken in the world that a calibration states, the frame of its first camera. A camera's
step is the one that takes the estimate to the truth: ``R_true = exp(w) R`` and
``t_true = exp(w) t + dt`` (a turn in the camera's frame, then a shift), then the lens's parameters
in the order fx fy cx cy k1 k2 p1 p2 k3.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from worker import board_of, corners_of, load_bench

# As arc4 of the bench: outliers and turned boards included, so that rejection is tested too.
SCENE = {
    "rig": "arc4",
    "F": 60,
    "kind": "chess",
    "noise": 0.3,
    "out": 0.02,
    "flip": 3,
    "bow": 0,
}
NAME = "coverage"
POSE = 6


def truth_steps(bench, s, rig):
    """Steps (V, 6 + 9) from the estimate to the truth; NaN where a lens lacks a coefficient."""
    R, t = rig.cam_from_world
    Rt = s["R"] @ s["R"][0].T
    tt = s["t"] - Rt @ s["t"][0]
    out = np.full((len(R), POSE + 9), np.nan)
    for v, camera in enumerate(rig.cameras):
        turn = Rt[v] @ R[v].T
        lens = camera.intrinsics
        K, Kt = lens.K, s["K"][v]
        size = min(lens.dist.size, 5)
        out[v, :3] = bench.logR(turn)
        out[v, 3:6] = tt[v] - turn @ t[v]
        out[v, 6:10] = [Kt[i, j] - K[i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))]
        out[v, 10 : 10 + size] = s["d"][v, :size] - lens.dist[:size]
    return out


def volume_error_mm(bench, s, rig):
    """The bench's 3D error over the working volume."""
    from worker import as_output

    return bench.evaluate(s, as_output(rig))["vol_rms_mm"]


def deviations(result):
    """Standard deviations (V, 15) in the order of the steps; NaN where held or not known.

    Of a result without a covariance the figures of the cameras tell the focal length's only.
    """
    cameras = result.rig.cameras
    out = np.full((len(cameras), POSE + 9), np.nan)
    covariance = getattr(result, "covariance", None)
    if covariance is None:
        for v, (camera, figures) in enumerate(zip(cameras, result.cameras, strict=True)):
            out[v, POSE] = figures.focal_std * camera.intrinsics.K[0, 0]
        return out
    out[:, :POSE], out[:, POSE:] = covariance.pose_std, covariance.lens_std[:, :9]
    return np.where(out > 0, out, np.nan)


def one(bench, seed):
    """Calibrate one new rig; its errors and what was said about them."""
    from multiview.calib import calibrate_corners

    bench.SCENES[NAME] = {**SCENE, "seed": seed}
    s = bench.gen(NAME)
    result = calibrate_corners(corners_of(bench, s), board_of(s))
    return {
        "seed": seed,
        "step": truth_steps(bench, s, result.rig).tolist(),
        "std": deviations(result).tolist(),
        "full": getattr(result, "covariance", None) is not None,
        "volume_mm": volume_error_mm(bench, s, result.rig),
        "predicted_mm": predicted_mm(s, result),
    }


def predicted_mm(s, result):
    """RMS 3D error that the covariance predicts over the volume; None without a covariance."""
    covariance = getattr(result, "covariance", None)
    if covariance is None:
        return None
    from multiview.calib.uncertainty import expected_error

    volume = s["vol"] @ s["R"][0].T + s["t"][0]  # in the frame of the first camera
    expected = expected_error(result.rig, covariance, volume)
    return float(1000 * np.sqrt(np.nanmean(np.square(expected))))


def main():
    path, first, count = sys.argv[1:]
    bench = load_bench(path)
    runs = [one(bench, seed) for seed in range(int(first), int(first) + int(count))]
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
