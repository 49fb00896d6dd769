"""One scene is one draw: ours beside the known-inlier optimum over other rigs of the same kinds.

python experiments/09-benchmark-calibration/seeds.py [SCENE ...] [--seeds 10]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from worker import board_of, corners_of

FIRST_SEED = 100


def bench():
    shared = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[3] / "shared"))
    if not (shared / "bench").is_dir():
        sys.exit(f"{shared}/bench is absent: set MULTIVIEW_SHARED")
    sys.path.insert(0, str(shared / "bench"))
    import bench_calibration

    return bench_calibration


def ratios(kit, name: str, seed: int) -> list[float]:
    """3D and place errors of ours and of the optimum, and the ratio of the rms."""
    from multiview.calib import calibrate_corners

    kit.SCENES["_seed"] = dict(kit.SCENES[name], seed=seed)
    s = kit.gen("_seed")
    best = kit.evaluate(s, kit.run_oracle(s, bow="warp" in name))
    rig = calibrate_corners(corners_of(kit, s), board_of(s), lens="brown").rig
    lenses = [c.intrinsics for c in rig.cameras]
    R, t = rig.cam_from_world
    ours = kit.evaluate(
        s, {"K": [i.K for i in lenses], "d": [i.dist for i in lenses], "R": R, "t": t}
    )
    keys = "vol_rms_mm", "rot_deg", "tr_mm"
    return [d[k] for k in keys for d in (ours, best)] + [ours["rms_in_px"] / best["rms_in_px"]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", nargs="*", default=["arc4", "chain4", "ring8"])
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    kit = bench()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}\n")
    print("| scene | 3D | turn | place | rms at most | 3D, each |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in given.scenes:
        rows = np.array([ratios(kit, name, FIRST_SEED + k) for k in range(given.seeds)])
        vol, turn, place = (
            np.sqrt((rows[:, i] ** 2).mean() / (rows[:, i + 1] ** 2).mean()) for i in (0, 2, 4)
        )
        each = " ".join(f"{r:.2f}" for r in rows[:, 0] / rows[:, 1])
        print(
            f"| {name} | {vol:.2f} | {turn:.2f} | {place:.2f} | {rows[:, 6].max():.3f} | {each} |"
        )


if __name__ == "__main__":
    main()
