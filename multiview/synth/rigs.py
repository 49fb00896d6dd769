"""Invented rigs: cameras on a dome or ring that look at its centre. World z is up."""

from __future__ import annotations

from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.core import Camera, Intrinsics, Rig
from multiview.errors import InputError
from multiview.geometry.axes import look_at

__all__ = ["look_at", "make_rig"]

# Scatter that makes cameras differ as bought and mounted ones do.
FOCAL_SCATTER = 0.08
AZIMUTH_SCATTER = 0.25
DISTANCE_SCATTER = 0.05
ROLL_DEG = 3.0
# Lenses of machine-vision and web cameras after calibration: (low, high) of k1, k2, p1, p2.
LENS_RANGE = np.array([[-0.15, 0.06], [-0.02, 0.02], [-6e-4, 6e-4], [-6e-4, 6e-4]])


def make_rig(
    rng: np.random.Generator,
    n_cameras: int,
    *,
    radius_m: float = 1.2,
    elevation_deg: tuple[float, float] = (-5.0, 55.0),
    azimuth_deg: float = 360.0,
    view_m: float = 0.45,
    size_wh: tuple[int, int] = (1280, 720),
    centre_world: tuple[float, float, float] = (0.0, 0.0, 0.0),
    aim_m: float = 0.03,
    distortion: float = 1.0,
) -> Rig:
    """Invent a rig on a dome (or a ring: both elevations equal; or an arc: ``azimuth_deg`` < 360).

    Parameters
    ----------
    rng
        Source of randomness.
    n_cameras
        At least 1.
    radius_m
        Mean distance of the cameras from the centre.
    elevation_deg
        Lowest and highest camera, degrees above the horizon; the others lie evenly between.
    azimuth_deg
        Arc on which the cameras stand.
    view_m
        Extent of the working volume that fills the picture's shorter side: sets the focal length.
    size_wh
        Picture size, pixels.
    centre_world
        Centre of the working volume.
    aim_m
        Standard deviation of the point a camera looks at, about the centre.
    distortion
        Scale of the lens coefficients ``k1 k2 p1 p2``; 0 gives pinholes.

    Returns
    -------
    Rig
        Cameras ``cam00``, ``cam01``, ... in the order of azimuth.

    Raises
    ------
    InputError
        If there is no camera or a length is not positive.
    """
    if n_cameras < 1 or not min(radius_m, view_m) > 0:
        raise InputError(
            f"a rig of {n_cameras} cameras, radius {radius_m} m, view {view_m} m cannot be made",
            "give at least one camera and positive lengths",
        )
    centre = np.asarray(centre_world, np.float64)
    directions = _directions(rng, n_cameras, np.radians(elevation_deg), np.radians(azimuth_deg))
    distances = radius_m * (1 + DISTANCE_SCATTER * rng.uniform(-1, 1, n_cameras))
    aims = centre + rng.normal(0, aim_m, (n_cameras, 3))
    rolls = np.radians(ROLL_DEG) * rng.uniform(-1, 1, n_cameras)
    cameras = [
        Camera(
            name=f"cam{v:02d}",
            intrinsics=_lens(rng, distances[v], view_m, size_wh, distortion),
            cam_from_world=look_at(centre + distances[v] * directions[v], aims[v], rolls[v]),
        )
        for v in range(n_cameras)
    ]
    return Rig(cameras=tuple(cameras), about="invented by multiview.synth.make_rig")


def _directions(rng: np.random.Generator, n: int, elevation: F64, azimuth: float) -> F64:
    """Draw unit vectors towards the cameras, shape (n, 3)."""
    # a full circle must not place the last camera on the first
    step = azimuth / (n if azimuth > 2 * np.pi - 1e-6 else max(n - 1, 1))
    az = step * (np.arange(n) + AZIMUTH_SCATTER * rng.uniform(-1, 1, n))
    el = rng.permutation(np.linspace(elevation[0], elevation[1], n))
    return np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], -1)


def _lens(
    rng: np.random.Generator, distance: float, view: float, size_wh: tuple[int, int], scale: float
) -> Intrinsics:
    width, height = size_wh
    f = distance * min(width, height) / view * (1 + FOCAL_SCATTER * rng.uniform(-1, 1))
    cx, cy = (np.array([width, height]) - 1) / 2 + rng.normal(0, 0.01 * width, 2)
    K = np.array([[f, 0, cx], [0, f * (1 + rng.normal(0, 1e-3)), cy], [0, 0, 1]])
    dist: Any = scale * rng.uniform(LENS_RANGE[:, 0], LENS_RANGE[:, 1])
    return Intrinsics(K=K, dist=dist if scale else np.zeros(0), size_wh=size_wh)
