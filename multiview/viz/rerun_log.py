"""A run as a recording of rerun: 3D, every view with its overlays, plots, one timeline.

Paths: ``world/hands/NAME``, ``world/cameras/NAME`` (pose), ``.../image`` (lens and picture), below
it ``detected``, ``reprojected`` and ``residuals``; ``residual_px/CAMERA``, ``inliers/CAMERA``,
``summary/residual_px``, ``summary/views``. Frames are written as columns, a block at a time.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, IntArray, present
from multiview.core import Camera, Skeleton
from multiview.errors import InputError
from multiview.geometry.median import median_of
from multiview.progress import Progress
from multiview.viz.colours import graded
from multiview.viz.rerun_layout import Paths, Stage, layout
from multiview.viz.rerun_video import av1, jpegs
from multiview.viz.scene import (
    Block,
    Scene,
    frustum_depth,
    matched,
    standard_deviation,
    typical_bone,
)

__all__ = ["Colour", "Images", "require_rerun", "write_recording"]

Images = Literal["video", "jpeg", "none"]
Colour = Literal["finger", "confidence"]
ARROW = (255, 255, 255)
# Dots in pictures, as shares of a bone's length there, and limits as shares of the width: a dot
# must be seen in a small panel, and must not hide a small hand.
DETECTED, REPROJECTED, LINE = 0.16, 0.08, 0.035
DOT_LIMITS = (1 / 500, 1 / 160)
# Confidence: blue at a quarter of the typical standard deviation, orange at four times.
SPREAD = 4.0
GOLDEN = 0.618
# Names of more cameras than these hide each other in 3D.
NAMES = 16
# Rerun's pixels count from the corner of the first one, ours from its centre.
HALF = 0.5
CORNER = np.array([[0, 0, HALF], [0, 0, HALF], [0, 0, 0]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """The recording, and what every part of it needs."""

    rr: Any
    rec: Any
    scene: Scene
    paths: Paths
    colour: Colour
    sigma: float

    def static(self, path: str, *what: Any) -> None:
        self.rec.log(path, *what, static=True)

    def columns(self, path: str, index: list[Any], columns: Any) -> None:
        self.rec.send_columns(path, indexes=index, columns=columns)

    def index(self, frames: IntArray, seconds: F64) -> list[Any]:
        """Timelines of some frames: their numbers, and seconds where there are clocks."""
        out = [self.rr.TimeColumn("frame", sequence=frames)]
        known = np.isfinite(seconds)
        if known.any():
            at = np.interp(np.arange(len(seconds)), np.flatnonzero(known), seconds[known])
            out.append(self.rr.TimeColumn("time", duration=at))
        return out


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
        Pictures as AV1, as single JPEGs, or none.
    colour
        Of the 3D points: fingers, or blue to orange by standard deviation.
    progress
        Called with ("recording", frames done, frames in all).

    Raises
    ------
    InputError
        If rerun is missing, or video cannot be encoded here.
    """
    rr, (block, stage, sigma) = require_rerun(), _look(scene)
    name = f"{scene.title} {scene.rig.digest}"  # runs of one name must not be shown as one
    rec, paths = rr.RecordingStream("multiview", recording_id=name), Paths(rr)
    log = _Log(rr=rr, rec=rec, scene=scene, paths=paths, colour=colour, sigma=sigma)
    meaning = _meaning(scene, sigma) if _by_confidence(log) else "colours of fingers"
    rec.save(path, default_blueprint=layout(rr, scene, stage, meaning))
    rec.send_recording_name(scene.title)
    _log_static(log, stage, block)
    times = np.full(len(scene.frame_ids), np.nan)
    for block in scene.blocks():
        times[block.start : block.start + len(block.times)] = block.times
        _log_block(log, block)
        if progress:
            progress("recording", block.start + len(block.times), len(scene.frame_ids))
    if images != "none" and scene.pictures is not None:
        for v in range(len(scene.rig.cameras)):
            _log_pictures(log, v, times, images)
            if progress:
                progress("pictures", v + 1, len(scene.rig.cameras))
    rec.flush()
    rec.disconnect()


def _look(scene: Scene) -> tuple[Block, Stage, float]:
    """Read until there is a hand; say where it is and the typical standard deviation."""
    for block in scene.blocks():
        if block.points.valid.any():
            break
    xyz, sigma = block.points.xyz_world, standard_deviation(block.points)
    some, ok = block.points.valid.any((1, 2)), present(xyz)
    first = block.start + int(np.argmax(some)) if some.any() else 0
    step = np.diff(block.times)
    step = step[np.isfinite(step) & (step > 0)]
    known = sigma[np.isfinite(sigma) & (sigma > 0)]
    target = np.median(xyz[ok], 0) if ok.any() else scene.rig.centres_world.mean(0)
    away = np.linalg.norm(xyz[ok] - target, axis=-1)
    stage = Stage(
        target=target,
        bone=typical_bone(xyz, scene.skeleton),
        reach=float(np.percentile(away, 90)) if away.size else 0.0,
        depth=frustum_depth(scene.rig, xyz),
        first=int(scene.frame_ids[first]) if first else None,
        fps=1 / float(np.median(step)) if step.size else None,
    )
    return block, stage, float(np.median(known)) if known.size else float("nan")


def _by_confidence(log: _Log) -> bool:
    return log.colour == "confidence" and np.isfinite(log.sigma)


def _meaning(scene: Scene, sigma: float) -> str:
    scale, unit = (1000, "mm") if scene.rig.unit == "m" else (1, scene.rig.unit)
    low, high = sigma / SPREAD * scale, sigma * SPREAD * scale
    return f"standard deviation, blue {low:.2g} to orange {high:.2g} {unit}"


def _log_static(log: _Log, stage: Stage, block: Block) -> None:
    """Write lenses, poses, sizes of dots and colours of plots."""
    rr, scene = log.rr, log.scene
    thick = stage.bone / 12
    for hand in scene.hands:
        path = log.paths.hand(hand)
        log.static(path, rr.Points3D.from_fields(radii=1.4 * thick))
        log.static(f"{path}/bones", rr.LineStrips3D.from_fields(radii=thick))
    for v, camera in enumerate(scene.rig.cameras):
        _log_camera(log, camera, stage.depth)
        _log_sizes(log, camera, block.points.xyz_world)
        own = [round(255 * c) for c in colorsys.hsv_to_rgb(v * GOLDEN % 1, 0.6, 0.95)]
        for kind in ("residual_px", "inliers"):
            line = rr.SeriesLines(colors=own, names=camera.name, widths=1.5)
            log.static(log.paths.series(kind, camera.name), line)
    lines = {
        "residual_px/median": ("median", (110, 170, 255)),
        "residual_px/worst": ("worst view", (255, 130, 40)),
        "views": ("views", (70, 200, 150)),
    }
    for path, (name, hue) in lines.items():
        log.static(f"summary/{path}", rr.SeriesLines(colors=hue, names=name, widths=2.0))


def _log_camera(log: _Log, camera: Camera, depth: float) -> None:
    rr, path = log.rr, log.paths.camera(camera.name)
    pose, lens = camera.cam_from_world.inv, camera.intrinsics
    log.static(path, rr.Transform3D(translation=pose.t, mat3x3=pose.R))
    label = rr.Points3D(
        [[0, 0, 0]],
        labels=camera.name,
        show_labels=len(log.scene.rig.cameras) <= NAMES,
        radii=depth / 40,
        colors=(170, 180, 195),
    )
    log.static(f"{path}/name", label)
    pinhole = rr.Pinhole(
        image_from_camera=lens.K + CORNER,
        resolution=lens.size_wh,
        camera_xyz=rr.ViewCoordinates.RDF,
        image_plane_distance=depth,
        color=(127, 142, 163),
    )
    log.static(log.paths.image(camera.name), pinhole)


def _log_sizes(log: _Log, camera: Camera, xyz: F64) -> None:
    """Set the sizes of dots by the size of a hand in the pictures."""
    rr, path = log.rr, log.paths.image(camera.name)
    width = camera.intrinsics.size_wh[0]
    bone = typical_bone(camera.project(xyz), log.scene.skeleton)
    dot = float(np.clip(DETECTED * bone, DOT_LIMITS[0] * width, DOT_LIMITS[1] * width))
    share = dot / DETECTED
    log.static(f"{path}/detected", rr.Points2D.from_fields(radii=dot, draw_order=21.0))
    points = rr.Points2D.from_fields(radii=REPROJECTED * share, draw_order=31.0)
    log.static(f"{path}/reprojected", points)
    bones = rr.LineStrips2D.from_fields(radii=LINE * share, draw_order=30.0)
    log.static(f"{path}/reprojected/bones", bones)
    arrows = rr.Arrows2D.from_fields(colors=ARROW, radii=LINE * share, draw_order=32.0)
    log.static(f"{path}/residuals", arrows)


def _log_block(log: _Log, block: Block) -> None:
    points, scene = block.points, log.scene
    frames = scene.frame_ids[block.start : block.start + len(block.times)]
    index = log.index(frames, block.times)
    colours = _colours(log, standard_deviation(points))
    for h, name in enumerate(scene.hands):
        _log_hand(log, log.paths.hand(name), index, points.xyz_world[:, h], colours[:, h])
    xy = scene.rig.project(points.xyz_world)
    for v, camera in enumerate(scene.rig.cameras):
        path = log.paths.image(camera.name)
        _log_reprojected(log, path, index, xy[v])
        if block.dets is not None:
            _log_detected(log, path, index, xy[v], block.dets.xy_px[v])
    _log_plots(log, block, frames)


def _colours(log: _Log, sigma: F64) -> NDArray[np.uint8]:
    """RGB of every keypoint, shape (F, H, K, 3): by finger or by standard deviation."""
    if not _by_confidence(log):
        own = np.array(log.scene.skeleton.colors, np.uint8)
        return np.asarray(np.broadcast_to(own, (*sigma.shape, 3)))
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.log(sigma / log.sigma) / np.log(SPREAD)
    return graded((octaves + 1) / 2)


def _log_hand(log: _Log, path: str, index: list[Any], xyz: F64, colours: NDArray[np.uint8]) -> None:
    """Points and bones of one hand over time, shape (F, K, 3)."""
    rr, ok = log.rr, present(xyz)
    points = rr.Points3D.columns(positions=xyz[ok], colors=colours[ok])
    log.columns(path, index, points.partition(ok.sum(1)))
    ends, both = _bones(xyz, log.scene.skeleton)
    hues = colours[:, [b for _, b in log.scene.skeleton.edges]][both]
    lines = rr.LineStrips3D.columns(strips=ends[both], colors=hues)
    log.columns(f"{path}/bones", index, lines.partition(both.sum(1)))


def _bones(points: F64, skeleton: Skeleton) -> tuple[F64, BoolArray]:
    """Return ends of all bones, shape (..., E, 2, D), and where both are known, shape (..., E)."""
    edges = np.array(skeleton.edges, np.int64).reshape(-1, 2)
    ends = points[..., edges, :]
    return ends, np.asarray(np.isfinite(ends).all((-1, -2)))


def _log_reprojected(log: _Log, path: str, index: list[Any], xy: F64) -> None:
    """3D points in a picture over time, shape (F, H, K, 2)."""
    rr, there = log.rr, present(xy)
    own = np.array(log.scene.skeleton.colors, np.uint8)
    hues = np.broadcast_to(own, (*there.shape, 3))[there]
    points = rr.Points2D.columns(positions=xy[there] + HALF, colors=hues)
    log.columns(f"{path}/reprojected", index, points.partition(there.sum((1, 2))))
    ends, both = _bones(xy, log.scene.skeleton)
    ends_own = own[[b for _, b in log.scene.skeleton.edges]]
    hues = np.broadcast_to(ends_own, (*both.shape, 3))[both]
    lines = rr.LineStrips2D.columns(strips=ends[both] + HALF, colors=hues)
    log.columns(f"{path}/reprojected/bones", index, lines.partition(both.sum((1, 2))))


def _log_detected(log: _Log, path: str, index: list[Any], xy: F64, seen: F64) -> None:
    """Log detections in a picture over time, and arrows to them from what the 3D says."""
    rr, found = log.rr, present(seen)
    own = np.array(log.scene.skeleton.colors, np.uint8)
    hues = np.broadcast_to(own, (*found.shape, 3))[found]
    points = rr.Points2D.columns(positions=seen[found] + HALF, colors=hues)
    log.columns(f"{path}/detected", index, points.partition(found.sum((1, 2))))
    off = np.stack([matched(a, b) for a, b in zip(xy, seen, strict=True)]) - xy
    known = present(off)
    arrows = rr.Arrows2D.columns(vectors=off[known], origins=xy[known] + HALF)
    log.columns(f"{path}/residuals", index, arrows.partition(known.sum((1, 2))))


def _log_plots(log: _Log, block: Block, frames: IntArray) -> None:
    residual, count, points = block.residual_px, block.inlier_count, block.points
    for v, name in enumerate(log.scene.rig.names):
        _log_series(log, log.paths.series("residual_px", name), block, frames, residual[v])
        _log_series(log, log.paths.series("inliers", name), block, frames, count[v])
    err = np.where(points.inlier, points.err_px, np.nan).swapaxes(0, 1)
    middle = median_of(err.reshape(len(frames), -1))
    _log_series(log, "summary/residual_px/median", block, frames, middle)
    worst = np.where(np.isfinite(residual), residual, -np.inf).max(0)
    _log_series(log, "summary/residual_px/worst", block, frames, worst)
    number = points.valid.sum((1, 2))
    carried = (points.inlier & points.valid).sum((0, 2, 3))
    views = np.where(number > 0, carried / np.maximum(number, 1), np.nan)
    _log_series(log, "summary/views", block, frames, views)


def _log_series(
    log: _Log, path: str, block: Block, frames: IntArray, values: F64 | IntArray
) -> None:
    scalars = np.where(np.isfinite(values), values, np.nan)
    log.columns(path, log.index(frames, block.times), log.rr.Scalars.columns(scalars=scalars))


def _log_pictures(log: _Log, v: int, times: F64, images: Images) -> None:
    rr, scene, rec = log.rr, log.scene, log.rec
    assert scene.pictures is not None
    path = log.paths.image(scene.rig.names[v])
    film = scene.pictures(v, np.arange(len(times)))
    if images == "video":
        log.static(path, rr.VideoStream(codec=rr.VideoCodec.AV1))
    for f, data in av1(film) if images == "video" else jpegs(film):
        rec.set_time("frame", sequence=int(scene.frame_ids[f]))
        if np.isfinite(times[f]):
            rec.set_time("time", duration=float(times[f]))
        if images == "video":
            rec.log(path, rr.VideoStream.from_fields(sample=data))
        else:
            rec.log(path, rr.EncodedImage(contents=data, media_type="image/jpeg"))
