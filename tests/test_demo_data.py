"""The demo capture in the package: complete, small, and in step with its truth."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import multiview
from multiview.calib.board import load_board
from multiview.formats.rig_yaml import read_rig

DEMO = Path(multiview.__file__).parent / "demo_data"
CAMERAS = [f"cam{v:02d}" for v in range(8)]
MAX_BYTES = 3_000_000


def frames(path: Path) -> tuple[list[np.ndarray], list[float], list[bool]]:
    """Pictures, times and keyframe flags of a film."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    return (
        [f.to_ndarray(format="bgr24") for f in decoded],
        [float(f.time) for f in decoded],
        [bool(f.key_frame) for f in decoded],
    )


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize(("take", "fps"), [("take", 30), ("board", 2)])
def test_films_have_60_frames_at_exact_times(take: str, fps: int, camera: str) -> None:
    images, times, keys = frames(DEMO / take / f"{camera}.mp4")
    assert len(images) == 60
    assert {i.shape for i in images} == {(480, 640, 3)}
    # the file's clock ticks at least a thousand times a second
    np.testing.assert_allclose(times, np.arange(60) / fps, atol=1e-3)
    at = np.flatnonzero([*keys, True])
    assert at[0] == 0
    assert max(b - a for a, b in pairwise(at)) <= 15


@pytest.mark.parametrize("take", ["take", "board"])
def test_films_are_small_and_start_at_once(take: str) -> None:
    files = sorted((DEMO / take).glob("*.mp4"))
    assert [p.stem for p in files] == CAMERAS
    assert sum(p.stat().st_size for p in files) <= MAX_BYTES
    for path in files:
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")


def test_truth_falls_on_the_hand() -> None:
    """Visible keypoints have the colour of skin: more red than blue, unlike the room."""
    rig = read_rig(DEMO / "rig_truth.yaml")
    truth = np.load(DEMO / "truth.npz")
    xyz, visible = truth["xyz_world"], truth["visibility"]
    assert xyz.shape == (60, 21, 3)
    assert visible.shape == (8, 60, 21)
    assert bool(truth["right"])
    xy = np.rint(rig.project(xyz)).astype(int)
    on_hand, beside = [], []
    for v, camera in enumerate(rig.names):
        images, _, _ = frames(DEMO / "take" / f"{camera}.mp4")
        for f in range(0, 60, 10):
            warm = images[f][..., 2].astype(int) - images[f][..., 0]
            x, y = xy[v, f, visible[v, f]].T
            inside = (x >= 0) & (x < 640) & (y >= 0) & (y < 480)
            on_hand += list(warm[y[inside], x[inside]] > 15)
            # the same points half a picture further belong to the room or, rarely, the sleeve
            beside += list(warm[y[inside], (x[inside] + 320) % 640] > 15)
    # visible means that the ray meets this point's own flesh first; edge pixels mix
    assert np.mean(on_hand) > 0.95
    assert np.mean(beside) < 0.3


def test_board_corners_are_found_where_the_rig_allows() -> None:
    """Every camera finds the board often enough, and corners triangulate on one board."""
    rig = read_rig(DEMO / "rig_truth.yaml")
    board = load_board(DEMO / "board.yaml")
    detector = cv2.aruco.CharucoDetector(board.charuco())
    errors = []
    for camera in rig.cameras:
        images, _, _ = frames(DEMO / "board" / f"{camera.name}.mp4")
        found = [detector.detectBoard(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY))[:2] for i in images]
        good = [(c, i) for c, i in found if i is not None and len(i) >= 12]
        assert len(good) >= 12, camera.name
        for corners, ids in good:
            points = board.object_points[ids.ravel()]
            xy_norm = camera.undistort(corners.reshape(-1, 2).astype(np.float64))
            _, rvec, tvec = cv2.solvePnP(points, xy_norm, np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
            xyz = points @ cv2.Rodrigues(rvec)[0].T + tvec.ravel()
            i = camera.intrinsics
            again = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), i.K, i.dist)[0].reshape(-1, 2)
            errors.append(np.linalg.norm(again - corners.reshape(-1, 2), axis=-1))
    # blur, noise, compression and the detector: measured 0.1 px
    assert np.median(np.concatenate(errors)) < 0.25
