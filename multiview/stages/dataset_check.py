"""`multiview dataset check` and `info`: whether a dataset is whole, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.datasets.faults import Fault, faults_of
from multiview.formats.datasets.store import (
    LAYOUTS,
    Dataset,
    content_digest,
    open_dataset,
    picture_sums,
)
from multiview.progress import progress_bar, say, say_table

__all__ = ["check_dataset", "run_check_dataset", "run_info_dataset"]


def run_check_dataset(path: Path, format: str = "") -> bool:
    """Check a dataset and print a table of what is wrong; True if nothing is.

    Parameters
    ----------
    path
        Folder or file of any layout.
    format
        Its layout; found out if empty.
    """
    found = open_dataset(path, format)
    faults = check_dataset(found)
    samples = found.samples
    say(
        f"check: {len(samples)} hands in {len(set(samples.image.tolist()))} pictures, format "
        f"{found.format}"
    )
    if not faults:
        say("  nothing wrong" + (f", digest {found.digest[:16]} holds" if found.digest else ""))
        return True
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    rows = [
        [kind, str(len(found_here)), _first(found, found_here[0])]
        for kind, found_here in sorted(kinds.items(), key=lambda item: -len(item[1]))
    ]
    say_table(["wrong", "hands", "the first"], rows)
    return False


def _first(found: Dataset, fault: Fault) -> str:
    return f"{found.where[fault.n]}: {fault.text}" if fault.n >= 0 else fault.text


def check_dataset(found: Dataset) -> list[Fault]:
    """List what is wrong with labels, pictures and digest."""
    faults = [*faults_of(found.samples), *_picture_faults(found)]
    if found.digest and not any(f.kind.startswith("picture missing") for f in faults):
        sums = picture_sums(found.samples, found.pictures)
        if content_digest(found.samples, sums) != found.digest:
            faults.append(Fault("changed since it was written", -1, "its digest does not hold"))
    return faults


def _picture_faults(found: Dataset) -> list[Fault]:
    samples = found.samples
    first: dict[str, int] = {}
    for n, image in enumerate(samples.image.tolist()):
        first.setdefault(image, n)
    faults: list[Fault] = []
    by_content: dict[str, int] = {}
    with progress_bar() as progress:
        for done, (image, n) in enumerate(first.items(), 1):
            faults += _one_picture(found, image, n, by_content)
            progress("pictures", done, len(first))
    return faults


def _one_picture(found: Dataset, image: str, n: int, by_content: dict[str, int]) -> list[Fault]:
    samples, path = found.samples, found.pictures.path(image)
    try:
        digest = found.pictures.digest(image)
    except InputError:
        return [Fault("picture missing", n, str(path))]
    try:
        height, width = found.pictures.read(image).shape[:2]
    except InputError as error:
        return [Fault("picture damaged", n, error.what)]
    faults = []
    if (width, height) != tuple(samples.size_wh[n].tolist()):
        text = "{} is {} x {}, labels are for {} x {}".format(
            path, width, height, *samples.size_wh[n]
        )
        faults.append(Fault("picture of another size", n, text))
    other = by_content.setdefault(digest, n)
    if samples.split[other] != samples.split[n]:
        text = f"{path} is {found.pictures.path(str(samples.image[other]))}"
        faults.append(Fault("one picture in two splits", n, text))
    return faults


def run_info_dataset(path: Path, format: str = "") -> None:
    """Print what a dataset holds.

    Parameters
    ----------
    path
        Folder or file of any layout.
    format
        Its layout; found out if empty.
    """
    found = open_dataset(path, format)
    samples = found.samples
    say(f"{path}: {len(samples)} hands in {len(set(samples.image.tolist()))} pictures")
    say(f"  format {found.format}, skeleton {samples.skeleton.name}")
    if found.digest:
        say(f"  digest {found.digest}")
    if LAYOUTS[found.format].lost:
        say(f"  not in this format: {LAYOUTS[found.format].lost}")
    columns = ("split", "session", "subject", "camera", "source", "round", "rig_digest")
    rows = [[name, *_values(getattr(samples, name))] for name in columns]
    side = np.where(np.isnan(samples.right), "unknown", np.where(samples.right >= 0.5, "R", "L"))
    rows.append(["hand", *_values(side)])
    say_table(["", "different", "most often"], rows)
    say_table(["keypoints labelled", "share", "median"], _keypoint_rows(samples))


def _values(column: np.ndarray) -> list[str]:
    values, counts = np.unique(column, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    listed = [f"{values[i] if str(values[i]) else 'not stated'} ({counts[i]})" for i in order]
    return [str(len(values)), ", ".join(listed) + (", ..." if len(values) > 4 else "")]


def _keypoint_rows(samples: HandSamples) -> list[list[str]]:
    labelled, seen = samples.labelled, samples.visibility
    box = np.maximum(samples.box_xywh[:, 2:].max(1), 1)[:, None]
    measures: list[tuple[str, np.ndarray, Callable[[float], str]]] = [
        ("all: weight", samples.weight, "{:.2f}".format),
        ("seen in this picture", np.where(seen == 2, samples.weight, np.nan), "{:.2f}".format),
        ("from other views only", np.where(seen == 1, samples.weight, np.nan), "{:.2f}".format),
        ("standard deviation, px", samples.sigma_px, "{:.2f}".format),
        ("the same, share of the box", samples.sigma_px / box, "{:.4f}".format),
        ("views that made the point", samples.n_inlier.astype(np.float64), "{:.0f}".format),
    ]
    rows = []
    for name, values, show in measures:
        known = np.isfinite(values) & labelled
        known &= (values > 0) if name.startswith("views") else True
        share = known.sum() / max(labelled.size, 1)
        rows.append([name, f"{share:.1%}", show(np.median(values[known])) if known.any() else "-"])
    return rows
