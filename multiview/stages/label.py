"""`multiview label`: pseudo-labels, their pictures, a contact sheet and an overlay video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from multiview.association import as_triangulated
from multiview.bootstrap.labels import LabelConfig, pseudo_labels, safe_keypoints
from multiview.bootstrap.samples import samples_of
from multiview.bootstrap.select import SelectConfig, Selection, select_labels
from multiview.bootstrap.table import empty_selection
from multiview.capture import Capture
from multiview.core import Detections, Points3D, PseudoLabels, Rig
from multiview.errors import NoLabelError
from multiview.formats.coco import image_name, write_coco
from multiview.formats.datasets.parquet import FILE as SAMPLES
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.formats.samples_parquet import write_samples
from multiview.progress import progress_bar, say
from multiview.stage import MANIFEST, Stage, file_digest, read_manifest
from multiview.stages.pictures import write_image, write_pictures
from multiview.stages.select_report import (
    promise_words,
    selection_figures,
    write_selection_report,
)
from multiview.stages.triangulated import check_take, hands_at_a_time
from multiview.stages.verified import verified_digest, verified_keypoints
from multiview.viz.sheet import take_sheet
from multiview.viz.video import write_overlays

__all__ = ["run_label"]


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
    session: str = "",
    subject: str = "",
    iteration: int = 1,
    force: bool = False,
) -> Path:
    """Write a dataset: ``samples.parquet``, ``images/<camera>/<frame>.jpg``, and its reports.

    ``samples.parquet`` holds every label with what made it; ``coco.json`` is for other programs.

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
        Keypoints that a person looked at (`multiview.stages.verified`): the promise then also
        rests on counting them.
    pictures
        Write the labelled pictures: hard links where the take is a folder of JPEGs, extracted
        frames otherwise.
    video
        Write ``overlay/<camera>.mp4`` too.
    session, subject
        Names of the take and of the person, kept with every label.
    iteration
        Round of bootstrapping; labels of round 0 are a person's.
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
    check_take(capture, points.camera_names, len(points.frame_ids))
    rig.check_sizes(capture.sizes_wh)
    inputs = {
        "capture": capture.digest,
        "detections": file_digest(table),
        "points": file_digest(points_dir / "points.parquet"),
    }
    inputs |= _optional_inputs(verified, select.risk.model)
    options: dict[str, object] = {
        "select": select.model_dump(),
        "pictures": pictures,
        "video": video,
        "max_false_label_rate": max_false_label_rate,
        "session": session,
        "subject": subject,
        "iteration": iteration,
    }
    stage = Stage("label", config.model_dump() | options, inputs, out, force)
    if stage.done:
        say(f"label: {out} is up to date")
        return out
    with stage.cleared():
        # once, for labels, sheet and videos alike
        dets = as_triangulated(dets, points, rig, hands_at_a_time(points_dir))
        selection = _selected(points, dets, rig, config, select, max_false_label_rate, verified)
        labels = pseudo_labels(
            points,
            dets,
            rig,
            config,
            pictures=capture.index >= 0,
            iteration=iteration,
            selection=selection,
        )
        if not labels.keep.any():
            raise _nothing_shown(selection)
    promise = promise_words(selection, max_false_label_rate, calibrated=_calibrated(table.parent))
    write_selection_report(selection, points, promise, stage.work)
    write_coco(labels, stage.work / "coco.json")
    samples = samples_of(
        labels, points, dets, rig, image_name=image_name, session=session, subject=subject
    )
    write_samples(samples, stage.work / SAMPLES)
    if pictures:
        _write_pictures(capture, labels, stage.work)
    if video:
        with progress_bar() as progress:
            write_overlays(capture, dets, points, rig, stage.work / "overlay", progress)
    write_image(take_sheet(capture, dets, points, rig), stage.work / "contact_sheet.png")
    figures = _figures(labels)
    stage.finish(figures | selection_figures(selection))
    _tell(figures, promise, out)
    return out


def _selected(
    points: Points3D,
    dets: Detections,
    rig: Rig,
    config: LabelConfig,
    select: SelectConfig,
    max_false_label_rate: float | None,
    verified: Path | None,
) -> Selection:
    """Select labels; an empty selection is an error."""
    selection = select_labels(
        points,
        dets,
        rig.select(points.camera_names),
        select,
        max_false_label_rate=max_false_label_rate,
        allow_unvoted=config.allow_unvoted,
        safe=safe_keypoints(points, config),
        verdicts=None if verified is None else verified_keypoints(verified, points),
    )
    if not selection.labels.any():
        raise empty_selection(selection)
    return selection


def _nothing_shown(selection: Selection) -> NoLabelError:
    return NoLabelError(
        f"no picture shows enough of a hand for its labels: {selection.labels.sum()} 3D keypoints "
        "passed",
        "lower --label.min-keypoints",
    )


def _calibrated(detections: Path) -> bool:
    """Whether confidences were fitted; of other programs' nothing is known, and nothing said."""
    if not (detections / MANIFEST).exists():
        return True
    return read_manifest(detections)["config"].get("confidence", "unknown") is not None


def _optional_inputs(verified: Path | None, risk_model: Path | None) -> dict[str, str]:
    """Digests of what only some runs are given."""
    found = {}
    if verified is not None:
        found["verified"] = verified_digest(verified)
    if risk_model is not None:
        found["risk_model"] = file_digest(risk_model)
    return found


def _write_pictures(capture: Capture, labels: PseudoLabels, folder: Path) -> None:
    """Write the pictures of which a hand is kept."""
    wanted = np.asarray(labels.keep.any(-1), np.bool_)
    with progress_bar() as progress:
        write_pictures(capture, wanted, labels.frame_ids, folder, progress)


def _tell(figures: dict[str, float], promise: str, out: Path) -> None:
    say(
        f"label: {figures['hands']} hands in {figures['pictures']} pictures, "
        f"{figures['only_reprojected']:.0%} of their keypoints from other views "
        f"-> {out / 'coco.json'}"
    )
    say(f"  {promise}")


def _figures(labels: PseudoLabels) -> dict[str, float]:
    reprojected = (labels.visibility == 1)[labels.keep]
    return {
        "pictures": int(labels.keep.any(-1).sum()),
        "hands": int(labels.keep.sum()),
        "keypoints": int((labels.visibility > 0)[labels.keep].sum()),
        "only_reprojected": float(reprojected.mean()) if reprojected.size else 0.0,
    }
