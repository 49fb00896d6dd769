"""`multiview dataset`: make, convert, split, check and describe training datasets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from multiview._shapes import present
from multiview.association import assign_hands
from multiview.bootstrap.labels import LabelConfig, pseudo_labels
from multiview.bootstrap.samples import samples_of
from multiview.bootstrap.splits import SplitConfig, split_by
from multiview.capture import Capture
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.coco import image_name
from multiview.formats.datasets import join, load_dataset, save_dataset
from multiview.formats.datasets.pictures import Pictures
from multiview.formats.datasets.store import MANIFEST
from multiview.formats.detections_parquet import read_detections
from multiview.formats.foreign import read_json
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.progress import progress_bar, say
from multiview.stages.pictures import write_pictures
from multiview.stages.review_folder import kept

__all__ = ["Hands", "Selection", "run_convert_dataset", "run_make_dataset", "run_split_dataset"]

Hands = Literal["all", "known", "left", "right"]
Selection = tuple[Hands, bool]


def run_make_dataset(
    capture: Capture,
    detections: Path,
    points_dir: Path,
    out: Path,
    config: LabelConfig,
    *,
    format: str = "parquet",
    session: str = "",
    subject: str = "",
    round: int = 0,
    force: bool = False,
) -> Path:
    """Label a take and write the samples with all their provenance.

    Parameters
    ----------
    capture
        The take.
    detections, points_dir
        Outputs of `detect` and `triangulate`.
    out
        New folder.
    config
        What becomes a label.
    format
        Layout.
    session, subject, round
        Names of the take and the person, number of the round; kept with every label.
    force
        Replace a dataset that is there.

    Raises
    ------
    InputError
        If nothing becomes a label, or the inputs are of several takes.
    """
    table = detections / "detections.parquet" if detections.is_dir() else detections
    dets, points = read_detections(table), read_points(points_dir / "points.parquet")
    rig = read_rig(points_dir / "rig.yaml")
    if capture.names != points.camera_names or len(capture.frame_ids) != len(points.frame_ids):
        raise InputError(
            f"the take has cameras {', '.join(capture.names)} and {len(capture.frame_ids)} frame "
            f"sets, the points {', '.join(points.camera_names)} and {len(points.frame_ids)}",
            "give the take that was detected and triangulated",
        )
    if not dets.hands:
        dets, _ = assign_hands(dets, rig)
    labels = pseudo_labels(points, dets, rig, config, pictures=capture.index >= 0, iteration=round)
    samples = samples_of(
        labels, points, dets, rig, image_name=image_name, session=session, subject=subject
    )
    if not len(samples):
        raise InputError(
            "no hand became a label",
            "see the report of triangulate; points of two views are labels only with "
            "--label.allow-unvoted",
        )
    # beside the dataset, so that pictures are linked; a killed run goes on here
    work = out.with_name(f"{out.name}.pictures")
    wanted = np.asarray(labels.keep.any(-1), np.bool_)
    with progress_bar() as progress:
        write_pictures(capture, wanted, labels.frame_ids, work, progress)
    save_dataset(samples, out, format, pictures=work, force=force)
    shutil.rmtree(work, ignore_errors=True)
    _say_written("make", out)
    return out


def run_convert_dataset(
    sources: Sequence[Path],
    out: Path,
    *,
    format: str = "",
    source_format: str = "",
    pictures: Path | None = None,
    select: Selection = ("all", False),
    force: bool = False,
) -> Path:
    """Join datasets and write them in another layout.

    Parameters
    ----------
    sources
        Datasets of any layout.
    out
        New folder.
    format, source_format
        Layouts; found out where empty.
    pictures
        Folder of the pictures, where they are not in the dataset.
    select
        Which hands, and whether only those with all 3D keypoints.
    force
        Replace a dataset that is there.
    """
    samples, found, made_from = _joined(sources, source_format, pictures)
    samples = _selected(samples, select)
    save_dataset(samples, out, format, pictures=found, made_from=made_from, force=force)
    _say_written("convert", out)
    return out


def run_split_dataset(
    sources: Sequence[Path],
    out: Path,
    config: SplitConfig,
    *,
    format: str = "parquet",
    select: Selection = ("all", False),
    force: bool = False,
) -> Path:
    """Join datasets, divide them, and write them with their splits.

    Parameters
    ----------
    sources, out, format, select, force
        As in `run_convert_dataset`.
    config
        How to divide.
    """
    samples, found, made_from = _joined(sources, "", None)
    samples = _selected(samples, select)
    divided = split_by(samples, config)
    save_dataset(divided, out, format, pictures=found, made_from=made_from, force=force)
    _say_written("split", out)
    left = len(samples) - len(divided)
    if left:
        say(f"  {left} hands within gaps between blocks of time were left out")
    return out


def _joined(
    sources: Sequence[Path], format: str, pictures: Path | None
) -> tuple[HandSamples, Pictures, str]:
    if pictures is not None and len(sources) > 1:
        raise InputError("--pictures is for one dataset", "convert one after the other")
    found = [kept(path, load_dataset(path, format)) for path in sources]
    samples, where = join(found)
    where = where if pictures is None else Pictures.below(pictures)
    return samples, where, " ".join(d.digest for d in found if d.digest)


def _selected(samples: HandSamples, select: Selection) -> HandSamples:
    hands, complete = select
    known = np.isfinite(samples.right)
    right = known & (samples.right >= 0.5)
    wanted = {"all": known | True, "known": known, "left": known & ~right, "right": right}[hands]
    if complete:
        wanted = wanted & np.asarray(present(samples.xyz_world).all(1), np.bool_)
    if not wanted.any():
        raise InputError(
            f"of {len(samples)} hands none is left (--hands {hands}"
            + (", --complete)" if complete else ")"),
            "select less strictly",
        )
    return samples.take(np.flatnonzero(wanted))


def _say_written(verb: str, out: Path) -> None:
    about = read_json(out / MANIFEST)
    splits = ", ".join(f"{n} {s or 'without a split'}" for s, n in about["splits"].items())
    say(f"{verb}: {about['samples']} hands in {about['pictures']} pictures ({splits}) -> {out}")
    say(f"  format {about['layout']}, digest {about['digest'][:16]}")
    if about["lost"]:
        say(f"  not in this format: {about['lost']}")
