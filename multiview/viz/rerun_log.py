"""A run as a recording of rerun: 3D, every view with its overlays, plots, one timeline.

Paths: ``world/hands/NAME``, ``world/cameras/NAME`` (pose), ``.../image`` (lens and picture), below
it ``detected``, ``reprojected`` and ``residuals``; ``residual_px/CAMERA``, ``inliers/CAMERA``.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, present
from multiview.core import Camera, Skeleton
from multiview.errors import InputError
from multiview.progress import Progress
from multiview.viz.scene import (
    Block,
    Scene,
    frustum_depth,
    matched,
    standard_deviation,
    typical_bone,
    upwards,
)

__all__ = ["Colour", "Images", "require_rerun", "write_recording"]

Images = Literal["video", "jpeg", "none"]
Colour = Literal["finger", "confidence"]
QUALITY = 80
KEYFRAME = 30  # pictures from one that can be jumped to, to the next
ARROW = (255, 140, 0)
# Rerun's pixels count from the corner of the first one, ours from its centre.
HALF = 0.5
CORNER = np.array([[0, 0, HALF], [0, 0, HALF], [0, 0, 0]])


def require_rerun() -> Any:
    """Import rerun, or say how to get it.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import rerun
    except ImportError:
        raise InputError(
            "this view needs rerun, which is not installed",
            "pip install 'multiview-bootstrapping[view]', or write a page: --html out.html",
        ) from None
    return rerun


def write_recording(
    scene: Scene,
    path: Path,
    images: Images = "video",
    colour: Colour = "finger",
    progress: Progress | None = None,
) -> None:
    """Write a recording; memory holds a block of frames and one picture.

    Parameters
    ----------
    scene
        The run.
    path
        The ``.rrd`` file.
    images
        Pictures as H.264, as single JPEGs, or none.
    colour
        Of the 3D points: fingers, or green to red by standard deviation.
    progress
        Called with ("recording", frames done, frames in all).
    """
    rr = require_rerun()
    rec = rr.RecordingStream("multiview", recording_id=scene.title)
    rec.save(path, default_blueprint=_blueprint(rr, scene))
    up, times = upwards(scene.rig), np.full(len(scene.frame_ids), np.nan)
    rec.log("world/up", rr.TextDocument(f"up in the pictures: {up.round(3).tolist()}"), static=True)
    if scene.note:
        rec.log("note", rr.TextDocument(scene.note), static=True)
    for block in scene.blocks():
        times[block.start : block.start + len(block.times)] = block.times
        if block.start == 0:
            _log_cameras(rr, rec, scene, block)
        _log_block(rr, rec, scene, block, colour)
        if progress:
            progress("recording", block.start + len(block.times), len(scene.frame_ids))
    if images != "none" and scene.pictures is not None:
        for v in range(len(scene.rig.cameras)):
            _log_pictures(rr, rec, scene, v, times, images)
            if progress:
                progress("pictures", v + 1, len(scene.rig.cameras))
    rec.flush()
    rec.disconnect()


def _blueprint(rr: Any, scene: Scene) -> Any:
    import rerun.blueprint as rrb

    views = [rrb.Spatial2DView(origin=_image(c), name=c.name) for c in scene.rig.cameras]
    plots = [
        rrb.TimeSeriesView(origin="residual_px", name="residual, median, px"),
        rrb.TimeSeriesView(origin="inliers", name="keypoints carried by each view"),
    ]
    top = rrb.Horizontal(rrb.Spatial3DView(origin="world", name="3D"), rrb.Grid(*views))
    return rrb.Blueprint(
        rrb.Vertical(top, rrb.Horizontal(*plots), row_shares=[4, 1]), collapse_panels=True
    )


def _image(camera: Camera) -> str:
    return f"world/cameras/{camera.name}/image"


def _log_cameras(rr: Any, rec: Any, scene: Scene, block: Block) -> None:
    depth = frustum_depth(scene.rig, block.points.xyz_world)
    for camera in scene.rig.cameras:
        pose, lens = camera.cam_from_world.inv, camera.intrinsics
        place = rr.Transform3D(translation=pose.t, mat3x3=pose.R)
        rec.log(f"world/cameras/{camera.name}", place, static=True)
        pinhole = rr.Pinhole(
            image_from_camera=lens.K + CORNER,
            resolution=lens.size_wh,
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=depth,
        )
        rec.log(_image(camera), pinhole, static=True)


def _log_block(rr: Any, rec: Any, scene: Scene, block: Block, colour: Colour) -> None:
    points, sigma = block.points, standard_deviation(block.points)
    xy = scene.rig.project(points.xyz_world)
    residual, count, times = block.residual_px, block.inlier_count, block.times
    thick = typical_bone(points.xyz_world, scene.skeleton) / 12
    for n in range(len(times)):
        _set_time(rec, int(scene.frame_ids[block.start + n]), float(times[n]))
        for h, name in enumerate(scene.hands):
            colours = _colours(scene.skeleton, sigma[n, h], colour)
            _log_hand(rr, rec, f"world/hands/{name}", points.xyz_world[n, h], colours, scene, thick)
        for v, camera in enumerate(scene.rig.cameras):
            seen = None if block.dets is None else block.dets.xy_px[v, n]
            _log_view(rr, rec, camera, xy[v, n], seen, scene.skeleton)
            if np.isfinite(residual[v, n]):
                rec.log(f"residual_px/{camera.name}", rr.Scalars(residual[v, n]))
            rec.log(f"inliers/{camera.name}", rr.Scalars(count[v, n]))


def _set_time(rec: Any, frame: int, seconds: float) -> None:
    rec.set_time("frame", sequence=frame)
    if np.isfinite(seconds):
        rec.set_time("time", duration=seconds)


def _colours(skeleton: Skeleton, sigma: F64, colour: Colour) -> NDArray[np.uint8]:
    """Return RGB of every keypoint: by finger, or green at 1/4 of the median error, red at 4."""
    known = sigma[np.isfinite(sigma) & (sigma > 0)]
    if colour == "finger" or not known.size:
        return np.array(skeleton.colors, np.uint8)
    with np.errstate(divide="ignore", invalid="ignore"):
        grade = np.clip((np.log2(sigma / np.median(known)) + 2) / 4, 0, 1)
    grade = np.nan_to_num(grade, nan=1.0)
    return np.stack([255 * grade, 200 * (1 - grade), 60 + 0 * grade], -1).astype(np.uint8)


def _log_hand(
    rr: Any, rec: Any, path: str, xyz: F64, colours: NDArray[np.uint8], scene: Scene, thick: float
) -> None:
    ok = present(xyz)
    bones = [(a, b) for a, b in scene.skeleton.edges if ok[a] and ok[b]]
    rec.log(path, rr.Points3D(xyz[ok], colors=colours[ok], radii=1.4 * thick))
    lines = [xyz[[a, b]] for a, b in bones]
    hues = [colours[b] for _, b in bones]
    rec.log(f"{path}/bones", rr.LineStrips3D(lines, colors=hues or None, radii=thick))


def _log_view(
    rr: Any, rec: Any, camera: Camera, xy: F64, seen: F64 | None, skeleton: Skeleton
) -> None:
    colours, path = np.array(skeleton.colors, np.uint8), _image(camera)
    there = present(xy)
    hues = np.broadcast_to(colours, (*xy.shape[:-1], 3))
    rec.log(f"{path}/reprojected", rr.Points2D(xy[there] + HALF, colors=hues[there], radii=2.0))
    bones = [(h, a, b) for h in range(len(xy)) for a, b in skeleton.edges]
    bones = [(h, a, b) for h, a, b in bones if there[h, a] and there[h, b]]
    lines = [xy[h, [a, b]] + HALF for h, a, b in bones]
    strips = rr.LineStrips2D(lines, colors=[colours[b] for _, _, b in bones] or None)
    rec.log(f"{path}/reprojected/bones", strips)
    if seen is None:
        return
    found = np.isfinite(seen).all(-1)
    hues = np.broadcast_to(colours, (*seen.shape[:-1], 3))
    rec.log(f"{path}/detected", rr.Points2D(seen[found] + HALF, colors=hues[found], radii=4.0))
    off = matched(xy, seen) - xy
    known = np.isfinite(off).all(-1)
    arrows = rr.Arrows2D(vectors=off[known], origins=xy[known] + HALF, colors=ARROW)
    rec.log(f"{path}/residuals", arrows)


def _log_pictures(rr: Any, rec: Any, scene: Scene, v: int, times: F64, images: Images) -> None:
    assert scene.pictures is not None
    path = _image(scene.rig.cameras[v])
    film = scene.pictures(v, np.arange(len(times)))
    if images == "video":
        rec.log(path, rr.VideoStream(codec=rr.VideoCodec.H264), static=True)
    for f, data in _h264(film) if images == "video" else _jpegs(film):
        _set_time(rec, int(scene.frame_ids[f]), float(times[f]))
        if images == "video":
            rec.log(path, rr.VideoStream.from_fields(sample=data))
        else:
            rec.log(path, rr.EncodedImage(contents=data, media_type="image/jpeg"))


def _jpegs(film: Iterator[tuple[int, NDArray[np.uint8]]]) -> Iterator[tuple[int, bytes]]:
    for f, image in film:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if done:
            yield f, data.tobytes()


def _h264(film: Iterator[tuple[int, NDArray[np.uint8]]]) -> Iterator[tuple[int, bytes]]:
    """Encode without reordering, so that each picture is one packet in order."""
    codec: Any = None
    waiting: list[int] = []
    for f, image in film:
        if codec is None:
            codec = av.CodecContext.create("libx264", "w")
            codec.height, codec.width = (s - s % 2 for s in image.shape[:2])
            codec.pix_fmt, codec.time_base = "yuv420p", Fraction(1, 1000)
            codec.options = {"crf": "23", "preset": "veryfast", "bf": "0", "g": str(KEYFRAME)}
        cut = np.ascontiguousarray(image[: codec.height, : codec.width])
        frame = av.VideoFrame.from_ndarray(cut, format="bgr24")
        frame.pts = f
        waiting.append(f)
        for packet in codec.encode(frame):
            yield waiting.pop(0), bytes(packet)
    if codec is not None:
        for packet in codec.encode(None):
            yield waiting.pop(0), bytes(packet)
