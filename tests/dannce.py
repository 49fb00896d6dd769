"""Hand-labelled mice of DANNCE's demo (Dunn et al., Nature Methods 2021): 22 points, 6 cameras.

Read for tests and experiments only. The files are MATLAB's: vectors are rows, so matrices are
transposed here, and camera matrices have a skew, which no lens of ours has. The labels are sheared
instead, exactly: ``u' = u - skew (v - cy) / fy`` is what a camera without it would have recorded.
Labels and camera matrices count pixels from 1 alike, so that cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from multiview.core import Camera, Detections, Intrinsics, Pose, Rig, Skeleton

# The recordings' size, which the files do not state.
SIZE_WH = (1152, 1024)
KEYPOINTS = 22


@dataclass(frozen=True, kw_only=True)
class Mouse:
    """One recording: its rig in millimetres, the labels, and the 3D published with them."""

    rig: Rig
    labels: Detections
    xyz: np.ndarray  # (F, K, 3)


def skeleton() -> Skeleton:
    """22 points of no order that the files tell: no bones, each a group by itself."""
    names = tuple(f"point{k:02d}" for k in range(KEYPOINTS))
    return Skeleton(
        name="mouse22",
        keypoints=names,
        edges=(),
        groups={n: (k,) for k, n in enumerate(names)},
        colors=((200, 200, 200),) * KEYPOINTS,
    )


def read_mouse(path: Path, *, hands: tuple[str, ...] = ()) -> Mouse:
    """Read a Label3D file; ``hands`` names the one animal's slot."""
    file = loadmat(path)
    names = tuple(str(n.item()) for n in file["camnames"].ravel())
    xy, cameras = [], []
    for name, lens, label in zip(
        names, file["params"].ravel(), file["labelData"].ravel(), strict=True
    ):
        K, radial, tangential, R, t = (
            lens[n].item().astype(float) for n in ("K", "RDistort", "TDistort", "r", "t")
        )
        K, k, p = K.T, radial.ravel(), tangential.ravel()
        labelled = label["data_2d"].item().reshape(-1, KEYPOINTS, 2).astype(float)
        labelled[..., 0] -= K[0, 1] * (labelled[..., 1] - K[1, 2]) / K[1, 1]
        K[0, 1] = 0
        intrinsics = Intrinsics(K=K, dist=np.array([*k[:2], *p, k[2]]), size_wh=SIZE_WH)
        pose = Pose(R=R.T, t=t.ravel())
        cameras.append(Camera(name=name, intrinsics=intrinsics, cam_from_world=pose))
        xy.append(labelled)
    xyz = file["labelData"][0, 0]["data_3d"].item().reshape(-1, KEYPOINTS, 3)
    labels = np.stack(xy)[:, :, None]
    shape = labels.shape[:-1]
    return Mouse(
        rig=Rig(cameras=tuple(cameras), unit="mm"),
        labels=Detections(
            xy_px=labels,
            conf=np.isfinite(labels).all(-1).astype(float),
            camera_names=names,
            frame_ids=np.arange(shape[1]),
            times=np.full(shape[:2], np.nan),
            skeleton=skeleton(),
            source="Label3D",
            right=np.full(shape[:3], np.nan),
            hands=hands,
            size_wh=(SIZE_WH,) * len(names),
        ),
        xyz=xyz,
    )
