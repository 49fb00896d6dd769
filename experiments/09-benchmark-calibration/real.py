"""Real footage as scenes of the bench: frames to calibrate with, and frames held out.

    real.py SHARED OUTDIR    writes NAME-train.npz and NAME-test.npz, and published rigs

Run with our interpreter. Corners are found once, by multiview, and every tool gets the same.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from worker import as_output

HELD_OUT = 3  # every third frame
FIRST_HELD_OUT = 1


@dataclass(frozen=True)
class Pictures:
    """Footage in memory."""

    names: tuple[str, ...]
    takes: tuple[list[np.ndarray], ...]

    @property
    def sizes_wh(self):
        return tuple((take[0].shape[1], take[0].shape[0]) for take in self.takes)

    @property
    def frame_ids(self):
        return np.arange(len(self.takes[0]))

    def images(self, view):
        return enumerate(self.takes[view])


def stereo(data):
    """Chessboard pairs of OpenCV's samples (Debian's opencv-doc)."""
    folder = data / "opencv_stereo" / "debian_opencv-doc"
    left = sorted(folder.glob("left[01]*.jpg"))
    right = [p.with_name(p.name.replace("left", "right")) for p in left]
    return Pictures(
        ("left", "right"), tuple([cv2.imread(str(p)) for p in x] for x in (left, right))
    )


def webcams(data):
    """Four webcams and an inverted ChArUco board, whose mirrored back one of them sees."""
    folder = data / "pyxy3d_4cam_holistic" / "calibration" / "extrinsic"
    return Pictures(
        tuple(f"port_{i}" for i in range(4)),
        tuple(video(folder / f"port_{i}.mp4") for i in range(4)),
    )


def video(path):
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def boards():
    from multiview.calib import Board

    chess = Board(kind="chessboard", columns=9, rows=6, square_m=0.025)
    charuco = Board(
        kind="charuco",
        columns=4,
        rows=5,
        square_m=0.054,
        marker_m=0.0405,
        dictionary="DICT_4X4_1000",
        inverted=True,
    )
    return {"stereo": (stereo, chess), "webcams": (webcams, charuco)}


def scene(name, corners, board, frames):
    """Some frames in the bench's form."""
    v, f, p = np.nonzero(corners.valid[:, frames])
    across, down = board.grid
    return {
        "name": name,
        "kind": "charuco" if board.kind == "charuco" else "chess",
        "sizes": np.array(corners.sizes_wh),
        "cam": v,
        "frame": f,
        "pid": p,
        "xy": corners.xy_px[:, frames][v, f, p],
        "flag": np.zeros(len(v), int),
        "objp": board.object_points - board.object_points[0],
        "nx": across,
        "ny": down,
        "sq": board.square_m,
    }


def published(data, out):
    """The rig that was published with the webcams' take."""
    from multiview.formats.caliscope import read_caliscope_rig

    rig = read_caliscope_rig(data / "pyxy3d_4cam_holistic" / "config.toml")
    plain = {k: v.tolist() for k, v in as_output(rig).items()}
    (out / "webcams-published.json").write_text(json.dumps(plain))


def main():
    from multiview.calib import detect_board

    data, out = Path(sys.argv[1]) / "data", Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, (read, board) in boards().items():
        corners = detect_board(read(data), board)
        shared = np.flatnonzero(corners.valid.any(-1).sum(0) >= 1)
        test = shared[FIRST_HELD_OUT::HELD_OUT]
        for part, frames in (
            ("train", np.setdiff1d(shared, test)),
            ("test", test),
            ("all", shared),
        ):
            s = scene(f"{name}-{part}", corners, board, frames)
            np.savez_compressed(out / f"{name}-{part}.npz", **s)
        per_view = corners.valid.any(-1).sum(1).tolist()
        print(
            f"{name}: {len(shared)} frames, board seen in {per_view}, {len(test)} frames held out"
        )
    published(data, out)


if __name__ == "__main__":
    main()
