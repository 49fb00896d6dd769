"""`multiview label`: pseudo-labels, their pictures, a contact sheet and an overlay video."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from multiview._image_folder import FolderSource
from multiview.association import assign_hands
from multiview.bootstrap.labels import LabelConfig, pseudo_labels
from multiview.capture import Capture
from multiview.core import Points3D, PseudoLabels
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors, replacing
from multiview.formats.coco import image_name, write_coco
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.progress import Progress, progress_bar, say
from multiview.stage import Stage, file_digest
from multiview.viz.sheet import take_sheet
from multiview.viz.video import write_overlays

__all__ = ["run_label"]

JPEG_QUALITY = 95


def run_label(
    capture: Capture,
    detections: Path,
    points_dir: Path,
    out: Path,
    config: LabelConfig,
    *,
    pictures: bool = True,
    video: bool = False,
    force: bool = False,
) -> Path:
    """Write ``coco.json``, ``images/<camera>/<frame>.jpg`` and ``contact_sheet.png``.

    Parameters
    ----------
    capture
        The take.
    detections, points_dir
        Outputs of `detect` and `triangulate`.
    out
        Output folder.
    config
        What becomes a label.
    pictures
        Write the labelled pictures: hard links where the take is a folder of JPEGs, extracted
        frames otherwise.
    video
        Write ``overlay/<camera>.mp4`` too.
    force
        Replace an older, different result.
    """
    table = detections / "detections.parquet" if detections.is_dir() else detections
    dets, points = read_detections(table), read_points(points_dir / "points.parquet")
    rig = read_rig(points_dir / "rig.yaml")
    _check_capture(capture, points)
    rig.check_sizes(capture.sizes_wh)
    inputs = {
        "capture": capture.digest,
        "detections": file_digest(table),
        "points": file_digest(points_dir / "points.parquet"),
    }
    stage = Stage(
        "label", config.model_dump() | {"pictures": pictures, "video": video}, inputs, out, force
    )
    if stage.done:
        say(f"label: {out} is up to date")
        return out
    if not dets.hands:  # once, for labels, sheet and videos alike
        dets, _ = assign_hands(dets, rig)
    labels = pseudo_labels(points, dets, rig, config, pictures=capture.index >= 0)
    write_coco(labels, stage.work / "coco.json")
    if pictures:
        with progress_bar() as progress:
            _write_pictures(capture, labels, stage.work, progress)
    if video:
        with progress_bar() as progress:
            write_overlays(capture, dets, points, rig, stage.work / "overlay", progress)
    sheet = take_sheet(capture, dets, points, rig)
    _write_image(sheet, stage.work / "contact_sheet.png")
    kept = labels.keep.any(-1)
    figures = {
        "pictures": int(kept.sum()),
        "hands": int(labels.keep.sum()),
        "keypoints": int((labels.visibility > 0)[labels.keep].sum()),
        "only_reprojected": float((labels.visibility == 1)[labels.keep].mean())
        if labels.keep.any()
        else 0.0,
    }
    stage.finish(figures)
    say(
        f"label: {figures['hands']} hands in {figures['pictures']} pictures, "
        f"{figures['only_reprojected']:.0%} of their keypoints from other views "
        f"-> {out / 'coco.json'}"
    )
    if not kept.any():
        say(
            "  no label: nowhere do three views agree on a whole finger, so that nothing could "
            "outvote an error; add a camera, or accept that risk with --label.unit keypoint or "
            "--label.allow-unvoted"
            if points.valid.any()
            else "  no label: nothing was triangulated"
        )
    return out


def _check_capture(capture: Capture, points: Points3D) -> None:
    frames = len(capture.frame_ids)
    if capture.names != points.camera_names or frames != len(points.frame_ids):
        raise InputError(
            f"the take has cameras {', '.join(capture.names)} and {frames} frame sets, the points "
            f"{', '.join(points.camera_names)} and {len(points.frame_ids)}",
            "give the take that was detected and triangulated",
        )


def _write_pictures(
    capture: Capture, labels: PseudoLabels, folder: Path, progress: Progress
) -> None:
    """Write every kept picture once; those there from an interrupted run are skipped."""
    kept = np.asarray(labels.keep.any(-1), np.bool_)
    done, total = 0, int(kept.sum())
    for v, camera in enumerate(capture.names):
        wanted = np.flatnonzero(kept[v]).tolist()
        paths = {f: folder / image_name(camera, int(labels.frame_ids[f])) for f in wanted}
        todo = {f: p for f, p in paths.items() if not (p.exists() or _link(capture, v, f, p))}
        done += len(paths) - len(todo)
        if not todo:
            continue
        for f, image in capture.images(v, min(todo), max(todo) + 1):
            if f in todo:
                _write_image(image, todo[f])
                done += 1
                progress("pictures", done, total)


def _link(capture: Capture, view: int, f: int, target: Path) -> bool:
    """Hard-link a JPEG of an image folder; False where that cannot be done."""
    source = capture.sources[view]
    if not isinstance(source, FolderSource):
        return False
    path = source.files[int(capture.index[view, f])]
    if path.suffix.lower() not in {".jpg", ".jpeg"}:
        return False
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:  # another file system
        return False
    return True


def _write_image(image: np.ndarray, path: Path) -> None:
    """Encode by suffix in memory: cv2.imwrite hides a full disk behind its return value."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    ok, data = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise InputError(f"{path}: the picture could not be encoded", "report this as a bug")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
