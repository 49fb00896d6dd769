"""A rig as a recording of rerun: cameras, boards in space and in every picture, the volume.

Paths: ``world/cameras/NAME`` (pose), ``.../image`` (lens) with ``boards`` below it;
``world/boards/all`` and, over the frames of the calibration, ``world/boards/NAME``;
``world/volume/WHAT`` for each thing that is known of places.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.viz.rerun_log import CORNER, HALF, require_rerun
from multiview.viz.rig_scene import RigScene, Volume, board_outlines, corners_in_picture
from multiview.viz.scene import frustum_depth

__all__ = ["write_rig_recording"]

BOARD, SHOWN_BOARD = (91, 157, 255, 90), (255, 207, 91)
# Corners drawn in a picture: more are a blot.
MANY_CORNERS = 3000


def write_rig_recording(scene: RigScene, path: Path) -> None:
    """Write a recording.

    Parameters
    ----------
    scene
        The rig.
    path
        The ``.rrd`` file.

    Raises
    ------
    InputError
        If rerun is not installed.
    """
    rr = require_rerun()
    rec = rr.RecordingStream("multiview", recording_id=scene.title)
    rec.save(path, default_blueprint=_blueprint(scene))
    rec.log("about", rr.TextDocument(_about(scene), media_type="text/markdown"), static=True)
    _log_cameras(rr, rec, scene)
    _log_boards(rr, rec, scene)
    if scene.volume is not None:
        _log_volume(rr, rec, scene.volume, scene.rig.unit)
    rec.flush()
    rec.disconnect()


def _blueprint(scene: RigScene) -> Any:
    import rerun.blueprint as rrb

    views = [
        rrb.Spatial2DView(origin=f"world/cameras/{c.name}/image", name=c.name)
        for c in scene.rig.cameras
    ]
    # one thing of the volume at a time: the others are there to be switched on
    hidden: dict[Any, Any] = {
        f"world/volume/{name}": rrb.EntityBehavior(visible=False) for name in list(_LAYERS)[1:]
    }
    space = rrb.Spatial3DView(origin="world", name="3D", overrides=hidden)
    left = rrb.Vertical(space, rrb.TextDocumentView(origin="about"), row_shares=[4, 1])
    return rrb.Blueprint(rrb.Horizontal(left, rrb.Grid(*views)), collapse_panels=True)


def _about(scene: RigScene) -> str:
    rig, volume = scene.rig, scene.volume
    lines = [f"**{scene.title}** {rig.about}", "", f"world: {rig.world or 'not stated'}", ""]
    for name, (said, _, _) in _LAYERS.items() if volume else ():
        values = _values(volume, name, rig.unit)
        known = values[np.isfinite(values)]
        if known.size:
            low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
            lines += [f"- `volume/{name}`: {said}, {low:.3g} to {high:.3g}, median {middle:.3g}"]
    lines += [f"- look at: {w}" for w in (rig.made.warnings if rig.made else ())]
    return "\n".join(lines)


def _log_cameras(rr: Any, rec: Any, scene: RigScene) -> None:
    seen = [t.t for t in scene.boards]
    if scene.volume is not None:
        seen.append(scene.volume.box.centre[None])
    depth = frustum_depth(scene.rig, np.concatenate([np.zeros((0, 3)), *seen]))
    for camera in scene.rig.cameras:
        at, pose, lens = (
            f"world/cameras/{camera.name}",
            camera.cam_from_world.inv,
            camera.intrinsics,
        )
        rec.log(at, rr.Transform3D(translation=pose.t, mat3x3=pose.R), static=True)
        pinhole = rr.Pinhole(
            image_from_camera=lens.K + CORNER,
            resolution=lens.size_wh,
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=depth,
        )
        rec.log(f"{at}/image", pinhole, static=True)
        xy, filled = corners_in_picture(camera, scene.boards)
        xy = xy[:: max(1, -(-len(xy) // MANY_CORNERS))]
        dots = rr.Points2D(xy + HALF, colors=BOARD, radii=lens.size_wh[0] / 400)
        rec.log(f"{at}/image/boards", dots, static=True)
        rec.log(f"filled/{camera.name}", rr.TextLog(f"{filled:.0%} of the picture"), static=True)


def _log_boards(rr: Any, rec: Any, scene: RigScene) -> None:
    """All boards faintly, and the one of each frame over time."""
    closed = [0, 1, 2, 3, 0]
    outlines = [board_outlines(t)[:, closed] for t in scene.boards]
    if outlines:
        every = rr.LineStrips3D(np.concatenate(outlines), colors=BOARD)
        rec.log("world/boards/all", every, static=True)
    for track, shown in zip(scene.boards, outlines, strict=True):
        for frame, outline in zip(track.frame_ids.tolist(), shown, strict=True):
            rec.set_time("frame", sequence=frame)
            strip = rr.LineStrips3D([outline], colors=SHOWN_BOARD, radii=rr.Radius.ui_points(2.5))
            rec.log(f"world/boards/{track.name}", strip)


# Of places: what it says, in which unit (the rig's, or a count), and whether more is worse.
_LAYERS = {
    "error_at_1_px": ("error of a point seen with 1 px noise", True, True),
    "error_of_calibration": ("error of the calibration alone", True, True),
    "cameras": ("cameras that see the place", False, False),
    "board_poses": ("board poses filmed there", False, False),
}


def _values(volume: Volume | None, name: str, unit: str) -> F64:
    assert volume is not None
    arrays = {
        "error_at_1_px": volume.by_pixel,
        "error_of_calibration": volume.by_rig,
        "cameras": volume.views.astype(np.float64),
        "board_poses": volume.boards.astype(np.float64),
    }
    metric = _LAYERS[name][1] and unit == "m"
    return np.asarray(arrays[name] * (1000 if metric else 1))


def _log_volume(rr: Any, rec: Any, volume: Volume, unit: str) -> None:
    cell = float(((volume.box.high - volume.box.low) / volume.shape).max())
    for name, (said, length, worse) in _LAYERS.items():
        values = _values(volume, name, unit)
        known = np.isfinite(values) & (length | (values > 0))
        if not known.any():
            continue
        what = ("mm" if unit == "m" else unit) if length else ""
        points = rr.Points3D(
            volume.xyz[known],
            colors=_colours(values[known], worse),
            radii=0.16 * cell,
            labels=[f"{said}: {v:.3g} {what}".strip() for v in values[known].tolist()],
            show_labels=False,
        )
        rec.log(f"world/volume/{name}", points, static=True)


def _colours(values: F64, worse: bool) -> NDArray[np.uint8]:
    """Bright is good, shape (N, 3): between 5 and 95 % of errors, or from none to most."""
    low, high = np.quantile(values, [0.05, 0.95]) if worse else (0.0, float(values.max()))
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    level = np.rint(255 * (1 - share if worse else share)).astype(np.uint8)
    bgr = cv2.applyColorMap(level[:, None], cv2.COLORMAP_VIRIDIS)[:, 0]
    return np.ascontiguousarray(bgr[:, ::-1])
