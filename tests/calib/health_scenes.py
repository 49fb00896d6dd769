"""Boards and hands that move smoothly before a rig, and ways to spoil rig or footage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from multiview.calib import Board, BoardCorners
from multiview.calib.so3 import exp_so3
from multiview.core import Detections, Pose, Rig
from multiview.synth import board_motion, board_visibility, make_hand_motion, make_rig, observe

BOARD = Board(
    kind="charuco", columns=6, rows=5, square_m=0.035, marker_m=0.025, dictionary="DICT_4X4_50"
)
FPS = 30.0
# One pose of the carried board in so many frames; between them it moves smoothly.
STRIDE = 8


def small_rig(seed: int, cameras: int = 4) -> Rig:
    """Cameras on half a circle: neighbours see the same side of a board."""
    return make_rig(np.random.default_rng(seed), cameras, azimuth_deg=120.0)


def film(
    rig: Rig,
    seed: int,
    *,
    frames: int = 80,
    noise: float = 0.3,
    offset: dict[int, float] | None = None,
    drift: dict[int, float] | None = None,
    still: bool = False,
) -> tuple[BoardCorners, np.ndarray]:
    """Corners of a board carried through the rig, and stamps; offsets in frames."""
    rng = np.random.default_rng(seed)
    stops = frames // STRIDE + 8
    middle = tuple(BOARD.object_points.mean(0)[:2])
    poses = board_motion(rng, rig, stops, board_centre_m=middle, laps=1.0)
    at = STRIDE * (np.arange(stops) - 3.0)
    turn = RotationSpline(at, Rotation.from_matrix(np.stack([p.R for p in poses])))
    shift = CubicSpline(at, np.stack([p.t for p in poses]))
    number, xy = np.arange(frames), []
    for v, camera in enumerate(rig.cameras):
        when = number + (offset or {}).get(v, 0.0) + (drift or {}).get(v, 0.0) * number
        when = np.full(frames, 3 * STRIDE) if still else when
        R, t = turn(when).as_matrix(), shift(when)
        moved = [Pose(R=R[f], t=t[f]) for f in range(frames)]
        xyz = np.stack([p.apply(BOARD.object_points) for p in moved])
        seen = board_visibility(replace(rig, cameras=(camera,)), BOARD.object_points, moved)[0]
        found = camera.project(xyz) + rng.normal(0, noise, (*xyz.shape[:2], 2))
        xy.append(np.where(seen[..., None], found, np.nan))
    corners = BoardCorners(
        xy_px=np.stack(xy),
        camera_names=rig.names,
        frame_ids=number,
        sizes_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )
    return corners, np.tile(number / FPS, (len(rig.cameras), 1))


def hands(
    rig: Rig, seed: int, *, frames: int = 90, offset: dict[int, int] | None = None
) -> Detections:
    """A detector's candidates for two hands: noise, gaps, gross errors, sides confused."""
    rng = np.random.default_rng(seed)
    margin = 5
    xyz = make_hand_motion(rng, frames + 2 * margin, 2)
    dets = observe(
        rng,
        rig,
        xyz,
        noise_px=3,
        missing=0.1,
        outliers=0.03,
        hand_swaps=0.05,
        occlusion=3,
        ordered=False,
    ).detections
    cut = [slice(margin + (offset or {}).get(v, 0), None) for v in range(len(rig.cameras))]

    def late(values: np.ndarray) -> np.ndarray:
        return np.stack([row[c][:frames] for row, c in zip(values, cut, strict=True)])

    return replace(
        dets,
        xy_px=late(dets.xy_px),
        conf=late(dets.conf),
        right=late(dets.right),
        times=dets.times[:, :frames],
        frame_ids=dets.frame_ids[:frames],
        size_wh=tuple(c.intrinsics.size_wh for c in rig.cameras),
    )


def nudged(
    rig: Rig, view: int, *, mm: float = 0, deg: float = 0, zoom: float = 1, seed: int = 0
) -> Rig:
    """A rig file of which one camera says something else than what stood there."""
    rng = np.random.default_rng(seed)
    axis, way = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 3)))
    camera = rig.cameras[view]
    R = exp_so3(np.deg2rad(deg) * axis) @ camera.cam_from_world.R
    K = camera.intrinsics.K.copy()
    K[[0, 1], [0, 1]] *= zoom
    cameras = list(rig.cameras)
    cameras[view] = replace(
        camera,
        cam_from_world=Pose(R=R, t=-R @ (camera.centre_world + way * mm / 1000)),
        intrinsics=replace(camera.intrinsics, K=K),
    )
    return replace(rig, cameras=tuple(cameras))


def scaled(rig: Rig, factor: float) -> Rig:
    """The rig in other units."""
    return replace(
        rig,
        cameras=tuple(
            replace(c, cam_from_world=Pose(R=c.cam_from_world.R, t=c.cam_from_world.t * factor))
            for c in rig.cameras
        ),
    )


def exchanged(footage, a: int, b: int):
    """Footage of two cameras under each other's name."""
    return _rows(footage, {a: b, b: a})


def copied(footage, source: int, onto: int):
    """One camera's footage under a second name too."""
    return _rows(footage, {onto: source})


def _rows(footage, sources: dict[int, int]):
    order = [sources.get(v, v) for v in range(len(footage.camera_names))]
    if isinstance(footage, BoardCorners):
        return replace(footage, xy_px=footage.xy_px[order])
    return replace(
        footage,
        xy_px=footage.xy_px[order],
        conf=footage.conf[order],
        right=footage.right[order],
    )


def resized(footage, factor: float):
    """All pictures made smaller."""
    name = "sizes_wh" if isinstance(footage, BoardCorners) else "size_wh"
    sizes = tuple((round(w * factor), round(h * factor)) for w, h in getattr(footage, name))
    return replace(footage, xy_px=(footage.xy_px + 0.5) * factor - 0.5, **{name: sizes})


def mirrored(corners: BoardCorners, view: int) -> BoardCorners:
    """One camera's pictures seen in a mirror."""
    xy = corners.xy_px.copy()
    xy[view, ..., 0] = corners.sizes_wh[view][0] - 1 - xy[view, ..., 0]
    return replace(corners, xy_px=xy)


def quarter_turned(corners: BoardCorners) -> BoardCorners:
    """All pictures turned clockwise by 90 degrees."""
    xy = corners.xy_px
    height = np.array([h for _, h in corners.sizes_wh])[:, None, None]
    turned = np.stack([height - 1 - xy[..., 1], xy[..., 0]], axis=-1)
    return replace(corners, xy_px=turned, sizes_wh=tuple((h, w) for w, h in corners.sizes_wh))


def blurred(corners: BoardCorners, view: int, sigma: float, seed: int = 0) -> BoardCorners:
    """One camera's corners found much worse."""
    xy = corners.xy_px.copy()
    xy[view] += np.random.default_rng(seed).normal(0, sigma, xy[view].shape)
    return replace(corners, xy_px=xy)
