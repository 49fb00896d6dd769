"""Synthetic board takes with known truth, and where shared footage lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.calib import Board, BoardCorners
from multiview.calib.drawing import board_extent, rasterise
from multiview.calib.so3 import exp_so3
from multiview.core import Camera, Intrinsics, Pose, Rig

CHESS = Board(kind="chessboard", columns=9, rows=6, square_m=0.03)
CHARUCO = Board(
    kind="charuco", columns=7, rows=5, square_m=0.04, marker_m=0.03, dictionary="DICT_4X4_50"
)
SIZE = (1280, 960)


def shared(folder: str) -> Path:
    """Path of shared footage, or skip the test."""
    root = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[3] / "shared"))
    path = root / "data" / folder
    if not path.is_dir():
        pytest.skip(f"shared footage {folder} is absent (set MULTIVIEW_SHARED)")
    return path


@dataclass
class Scene:
    corners: BoardCorners
    board: Board
    rig: Rig
    clean: np.ndarray
    world_from_board: list[Pose]


def looking_at(centre: np.ndarray, target: np.ndarray, roll: float) -> Pose:
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    R = exp_so3(np.array([0, 0, roll])) @ np.stack([x, np.cross(z, x), z])
    return Pose(R=R, t=-R @ centre)


def ring(rng: np.random.Generator, views: int, arc: float = 2 * np.pi) -> Rig:
    cameras = []
    for v in range(views):
        angle = arc * v / views
        centre = np.array([2 * np.cos(angle), 2 * np.sin(angle), 0.4 + 0.3 * np.sin(3 * angle)])
        pose = looking_at(centre, rng.normal(0, 0.05, 3), rng.normal(0, 0.2))
        f = 1000 * (1 + rng.normal(0, 0.04))
        K = np.array([[f, 0, 640 + rng.normal(0, 12)], [0, f * 1.002, 480], [0, 0, 1]])
        dist = np.array([-0.12, 0.05, 4e-4, -3e-4, 0]) * rng.uniform(0.5, 1.5)
        lens = Intrinsics(K=K, dist=dist, size_wh=SIZE)
        cameras.append(Camera(name=f"cam{v}", intrinsics=lens, cam_from_world=pose))
    return Rig(cameras=tuple(cameras))


def board_pose(rng: np.random.Generator, camera: Camera, near: bool, spread: float = 1.0) -> Pose:
    """Pose of the board's centre, roughly facing a camera."""
    back = camera.cam_from_world.inv
    depth = rng.uniform(0.5, 0.9) if near else rng.uniform(1.7, 2.1)
    reach = spread * (0.25 if near else 0.12)
    ahead = np.append(rng.uniform(-reach, reach, 2) * depth, depth)
    tilt = exp_so3(np.append(rng.uniform(-0.7, 0.7, 2), rng.uniform(-0.8, 0.8)))
    return back @ Pose(R=tilt, t=ahead)


def film(
    rig: Rig,
    board: Board,
    rng: np.random.Generator,
    frames: int,
    noise: float = 0.3,
    outliers: float = 0.0,
    flips: float = 0,
    spread: float = 1.0,
    xyz: np.ndarray | None = None,
) -> Scene:
    """Show a board to a rig; from behind or steeper than 65 degrees it is not seen.

    ``outliers`` is the share of corners that are 6 to 60 px off, ``flips`` the share of board views
    numbered from the other end, ``spread`` how far off the axes the boards are held,
    ``xyz`` the corners of a board that is not flat.
    """
    if xyz is None:
        xyz = board.object_points - board.object_points.mean(0)
    xy = np.full((len(rig.cameras), frames, len(xyz), 2), np.nan)
    poses = []
    for f in range(frames):
        aim = rig.cameras[f % len(rig.cameras)]
        pose = board_pose(rng, aim, near=f % 2 == 0, spread=spread)
        poses.append(pose)
        for v, camera in enumerate(rig.cameras):
            sight = pose.t - camera.centre_world
            facing = pose.R[:, 2] @ sight / np.linalg.norm(sight)
            seen = camera.project(pose.apply(xyz))
            inside = ((seen > 5) & (seen < np.array(SIZE) - 5)).all(-1)
            whole = board.kind == "charuco" and inside.sum() >= 8
            if facing > np.cos(np.deg2rad(65)) and (inside.all() or whole):
                xy[v, f, inside] = seen[inside]
    clean = ~np.isnan(xy[..., 0])
    xy += rng.normal(0, noise, xy.shape)
    wrong = rng.random(clean.shape) < outliers
    angle = rng.uniform(0, 2 * np.pi, clean.shape)
    far = rng.uniform(6, 60, clean.shape)[..., None]
    xy[wrong] += (far * np.stack([np.cos(angle), np.sin(angle)], -1))[wrong]
    pairs = np.argwhere(clean.any(-1))
    for v, f in pairs[rng.random(len(pairs)) < flips]:
        xy[v, f] = xy[v, f, ::-1]
        wrong[v, f] = wrong[v, f, ::-1]
    corners = BoardCorners(
        xy_px=xy,
        camera_names=rig.names,
        frame_ids=np.arange(frames),
        sizes_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )
    return Scene(corners, board, rig, clean & ~wrong, poses)


def gauge_free(rig: Rig) -> Rig:
    """The rig with the world moved to its first camera."""
    first = rig.cameras[0].cam_from_world.inv
    return Rig(
        cameras=tuple(
            Camera(name=c.name, intrinsics=c.intrinsics, cam_from_world=c.cam_from_world @ first)
            for c in rig.cameras
        )
    )


def pose_errors(rig: Rig, truth: Rig) -> tuple[float, float]:
    """Largest rotation (degrees) and position (mm) error, worlds aligned by all camera centres."""
    A, B = rig.centres_world, truth.centres_world
    Ra, Rb = rig.cam_from_world[0], truth.cam_from_world[0]
    # world_true_from_world: mean rotation of all cameras, then the centroid
    U, _, Vt = np.linalg.svd(np.einsum("vji,vjk->ik", Rb, Ra))
    turn = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    moved = (A - A.mean(0)) @ turn.T + B.mean(0)
    angles = [
        np.arccos(np.clip((np.trace(b @ turn @ a.T) - 1) / 2, -1, 1))
        for a, b in zip(Ra, Rb, strict=True)
    ]
    return float(np.rad2deg(max(angles))), float(1000 * np.linalg.norm(moved - B, axis=1).max())


class Pictures:
    """Footage held in memory or in files."""

    def __init__(self, names: tuple[str, ...], images: list[list[np.ndarray | Path]]) -> None:
        self.names, self._images = names, images
        self.frame_ids = np.arange(len(images[0]))
        sizes = [self._open(i[0]).shape for i in images]
        self.sizes_wh = tuple((s[1], s[0]) for s in sizes)

    @staticmethod
    def _open(image: np.ndarray | Path) -> np.ndarray:
        return image if isinstance(image, np.ndarray) else cv2.imread(str(image))

    def pick(self, view: int, positions: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for f in np.asarray(positions).tolist():
            yield f, self._open(self._images[view][f])


def picture(board: Board, scale: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Draw a board face-on; also return the exact pixels of its corners, (C, 2).

    At 80 px a square the boards' markers consist of whole pixels.
    """
    margin = 60
    if board.kind in {"aprilgrid", "tags"}:
        image = np.pad(rasterise(board, scale), margin, constant_values=255)
        squares = (board.object_points[:, :2] - board_extent(board)[0]) / board.pitch_m
    elif board.kind == "charuco":
        size = (board.columns * scale + 2 * margin, board.rows * scale + 2 * margin)
        image = board.charuco().generateImage(size, marginSize=margin)
        squares = board.object_points[:, :2] / board.square_m
    else:
        cells = np.indices((board.rows + 1, board.columns + 1)).sum(0) % 2
        image = np.kron(cells, np.ones((scale, scale))).astype(np.uint8) * 255
        image = np.pad(image, margin, constant_values=255)
        squares = board.object_points[:, :2] / board.square_m + 1
    # an edge between pixels n - 1 and n lies at n - 0.5 where pixel centres are whole numbers
    xy = squares * scale + margin - 0.5
    return (255 - image if board.inverted else image), xy


def warped(
    image: np.ndarray, xy: np.ndarray, seed: int = 0, size: tuple[int, int] = (960, 720)
) -> tuple[np.ndarray, np.ndarray]:
    """Show a picture tilted; return it and where its corners went."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    box = np.array([[0.12, 0.15], [0.85, 0.1], [0.9, 0.88], [0.1, 0.85]]) * size
    target = (box + rng.uniform(-20, 20, box.shape)).astype(np.float32)
    H = cv2.getPerspectiveTransform(source, target)
    back = 128 if image.mean() > 60 else 60
    shown = cv2.warpPerspective(image, H, size, flags=cv2.INTER_AREA, borderValue=back)
    shown = cv2.GaussianBlur(shown, (0, 0), 0.8)
    return shown, cv2.perspectiveTransform(xy[None], H)[0]
