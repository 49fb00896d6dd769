"""Independent answers to compare with: OpenCV, scipy and central differences."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from multiview.core import Intrinsics, Rig


def lens(
    f: float, size_wh: tuple[int, int], dist: tuple[float, ...] = (), model: str = "brown"
) -> Intrinsics:
    cx, cy = (size_wh[0] - 1) / 2 + 3.25, (size_wh[1] - 1) / 2 - 2.5
    K = np.array([[f, 0, cx], [0, 1.002 * f, cy], [0, 0, 1]])
    return Intrinsics(K=K, dist=np.array(dist), size_wh=size_wh, model=model)


WEBCAM = (-0.338, 0.0967, -0.00135, 0.00316, -0.00375)
KINECT = (0.5209, -2.7149, 0.00027, -0.00013, 1.6166, 0.3981, -2.5338, 1.5388)
LENSES = {
    "pinhole": lens(900, (1280, 720)),
    "four": lens(800, (1280, 720), WEBCAM[:4]),
    "webcam": lens(895, (1280, 720), WEBCAM),
    "kinect": lens(607, (1280, 720), KINECT),
    "prism": lens(700, (640, 480), (*WEBCAM, 0.02, -0.01, 0.003, 0.004, -0.002, -0.003, 0.001)),
    "fisheye": lens(600, (1280, 960), (0.05, -0.01, 0.003, -0.0005), "fisheye"),
}
# Radial polynomial that turns back inside the picture's corners.
FOLDING = lens(926, (720, 720), (-0.01396, 1.41929, -0.00353, -0.00357, -6.39432))


def cv2_project(xyz_cam: np.ndarray, i: Intrinsics) -> np.ndarray:
    points, zero = xyz_cam.reshape(-1, 1, 3), np.zeros(3)
    if i.model == "fisheye":
        xy = cv2.fisheye.projectPoints(points, zero, zero, np.array(i.K), np.array(i.dist))[0]
    else:
        dist = np.array(i.dist) if i.dist.size else None
        xy = cv2.projectPoints(points, zero, zero, np.array(i.K), dist)[0]
    return xy.reshape(*xyz_cam.shape[:-1], 2)


def cv2_triangulate(R: np.ndarray, t: np.ndarray, xy_norm: np.ndarray) -> np.ndarray:
    P = np.concatenate([R, t[:, :, None]], axis=2)
    X = cv2.triangulatePoints(P[0], P[1], xy_norm[0].T.copy(), xy_norm[1].T.copy())
    return (X[:3] / X[3]).T


def central_differences(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float
) -> np.ndarray:
    """Derivative of f: (N, m) -> (N, n), shape (N, n, m)."""
    out = []
    for d in range(x.shape[-1]):
        h = np.zeros(x.shape[-1])
        h[d] = step
        out.append((f(x + h) - f(x - h)) / (2 * step))
    return np.stack(out, axis=-1)


def scipy_refine(rig: Rig, start: np.ndarray, xy_px: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Refine one point (3,) from pixels (V, 2) seen by the views ``use`` (V,)."""
    return least_squares(
        lambda x: (rig.project(x) - xy_px)[use].ravel(), start, xtol=1e-15, ftol=1e-15, gtol=1e-15
    ).x


def scipy_alignment(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean_a, mean_b = source.mean(0), target.mean(0)
    R = Rotation.align_vectors(target - mean_b, source - mean_a)[0].as_matrix()
    return R, mean_b - R @ mean_a
