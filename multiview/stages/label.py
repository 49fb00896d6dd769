"""`multiview label`: pseudo-labels, their pictures, a contact sheet and an overlay video."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from multiview._image_folder import FolderSource
from multiview.association import assign_hands
from multiview.bootstrap.labels import LabelConfig, pseudo_labels
from multiview.bootstrap.select import SelectConfig, select_labels
from multiview.bootstrap.table import empty_selection
from multiview.capture import Capture
from multiview.core import Points3D, PseudoLabels
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors, replacing
from multiview.formats.coco import image_name, write_coco
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.formats.verdicts_csv import read_verdicts
from multiview.progress import Progress, progress_bar, say
from multiview.stage import Stage, file_digest
from multiview.stages.select_report import (
    promise_words,
    selection_figures,
    write_selection_report,
)
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
    select: SelectConfig | None = None,
    max_false_label_rate: float | None = None,
    verified: Path | None = None,
    pictures: bool = True,
    video: bool = False,
    force: bool = False,
) -> Path:
    """Write ``coco.json``, ``images/<camera>/<frame>.jpg``, ``selection.csv`` and reports.

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
    select
        Which frames and keypoints are safe enough, and how many are wanted.
    max_false_label_rate
        Promised rate of false labels among those written; None: none.
    verified
        CSV of keypoints that a person looked at (`multiview.formats.verdicts_csv`): the promise
        then also rests on counting them.
    pictures
        Write the labelled pictures: hard links where the take is a folder of JPEGs, extracted
        frames otherwise.
    video
        Write ``overlay/<camera>.mp4`` too.
    force
        Replace an older, different result.

    Raises
    ------
    InputError
        If nothing passes: it says which rejection took what, and what to change.
    """
    select = select or SelectConfig()
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
    given = {"verified": verified, "risk_model": select.risk.model}
    inputs |= {name: file_digest(path) for name, path in given.items() if path is not None}
    options = {"pictures": pictures, "video": video, "max_false_label_rate": max_false_label_rate}
    stage = Stage(
        "label", config.model_dump() | options | {"select": select.model_dump()}, inputs, out, force
    )
    if stage.done:
        say(f"label: {out} is up to date")
        return out
    if not dets.hands:  # once, for labels, sheet and videos alike
        dets, _ = assign_hands(dets, rig)
    with stage.cleared():
        selection = select_labels(
            points,
            dets,
            rig.select(points.camera_names),
            select,
            max_false_label_rate=max_false_label_rate,
            allow_unvoted=config.allow_unvoted,
            verdicts=None if verified is None else read_verdicts(verified, points),
        )
        if not selection.labels.any():
            raise empty_selection(selection)
    labels = pseudo_labels(
        points, dets, rig, config, pictures=capture.index >= 0, selection=selection
    )
    write_selection_report(selection, points, max_false_label_rate, stage.work)
    write_coco(labels, stage.work / "coco.json")
    if pictures:
        with progress_bar() as progress:
            _write_pictures(capture, labels, stage.work, progress)
    if video:
        with progress_bar() as progress:
            write_overlays(capture, dets, points, rig, stage.work / "overlay", progress)
    _write_image(take_sheet(capture, dets, points, rig), stage.work / "contact_sheet.png")
    figures = _figures(labels)
    stage.finish(figures | selection_figures(selection))
    say(
        f"label: {figures['hands']} hands in {figures['pictures']} pictures, "
        f"{figures['only_reprojected']:.0%} of their keypoints from other views "
        f"-> {out / 'coco.json'}"
    )
    say(f"  {promise_words(selection, max_false_label_rate)}")
    if not figures["pictures"]:
        say("  no picture shows enough of a selected hand: lower --label.min-keypoints")
    return out


def _figures(labels: PseudoLabels) -> dict[str, float]:
    reprojected = (labels.visibility == 1)[labels.keep]
    return {
        "pictures": int(labels.keep.any(-1).sum()),
        "hands": int(labels.keep.sum()),
        "keypoints": int((labels.visibility > 0)[labels.keep].sum()),
        "only_reprojected": float(reprojected.mean()) if reprojected.size else 0.0,
    }


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
