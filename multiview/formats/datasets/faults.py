"""What is wrong with samples: labels outside pictures, impossible boxes, duplicates, leaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import BoolArray
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.formats.datasets.rows import Loaded

__all__ = ["Fault", "faults_of", "refuse_faults"]

# Boxes are rounded to whole pixels by some programs.
BOX_PX = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    kind
        What, in few words; faults of a kind are counted.
    n
        Number of the sample; -1 where it is none's.
    text
        The particulars.
    fatal
        Whether a reader refuses it.
    """

    kind: str
    n: int
    text: str
    fatal: bool = False


def refuse_faults(loaded: Loaded) -> HandSamples:
    """Return the samples, if nothing in them is fatal.

    Raises
    ------
    InputError
        Naming file and entry of the first, and how many there are.
    """
    fatal = [f for f in faults_of(loaded.samples) if f.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        raise InputError(
            f"{loaded.where[fatal[0].n]}: {fatal[0].kind}: {fatal[0].text}{more}",
            "multiview dataset check lists all; correct or remove them",
        )
    return loaded.samples


def faults_of(samples: HandSamples) -> list[Fault]:
    """Find all faults that need no picture."""
    return [*_labels(samples), *_boxes(samples), *_duplicates(samples), *_leaks(samples)]


def _labels(samples: HandSamples) -> list[Fault]:
    bare = np.flatnonzero(~samples.labelled.any(1)).tolist()
    faults = [Fault("no labelled keypoint", n, "all are missing", True) for n in bare]
    size = samples.size_wh[:, None]
    xy = samples.xy_px
    outside = np.asarray(((xy < -0.5) | (xy > size - 0.5)).any(-1), np.bool_)
    for n in np.flatnonzero(outside.any(1)).tolist():
        k = int(np.flatnonzero(outside[n])[0])
        x, y = samples.xy_px[n, k].tolist()
        width, height = samples.size_wh[n].tolist()
        text = f"{samples.skeleton.keypoints[k]} at ({x:.1f}, {y:.1f}) of {width} x {height}"
        faults.append(Fault("label outside the image", n, text, True))
    return faults


def _boxes(samples: HandSamples) -> list[Fault]:
    box = samples.box_xywh
    low, high = box[:, :2], box[:, :2] + box[:, 2:]
    nothing = _rows(~(box[:, 2:] > 0).all(1))
    beyond = (low < -0.5 - BOX_PX).any(1) | (high > samples.size_wh - 0.5 + BOX_PX).any(1)
    xy = samples.xy_px
    out = (xy < low[:, None] - BOX_PX) | (xy > high[:, None] + BOX_PX)
    kinds = (
        ("box of no area", nothing, True),
        ("box beyond the image", _rows(beyond), False),
        ("keypoints outside their box", _rows(out.any((1, 2))), False),
    )
    return [
        Fault(kind, n, "box xywh ({:.1f}, {:.1f}, {:.1f}, {:.1f})".format(*box[n]), fatal)
        for kind, rows, fatal in kinds
        for n in np.flatnonzero(rows).tolist()
    ]


def _rows(mask: object) -> BoolArray:
    return np.asarray(mask, np.bool_)


def _duplicates(samples: HandSamples) -> list[Fault]:
    """Find hands labelled twice in one picture."""
    faults: list[Fault] = []
    first: dict[tuple[str, bytes], int] = {}
    for n, image in enumerate(samples.image.tolist()):
        key = (image, samples.xy_px[n].tobytes())
        if first.setdefault(key, n) != n:
            faults.append(Fault("labelled twice", n, f"the same hand as sample {first[key]}"))
    return faults


def _leaks(samples: HandSamples) -> list[Fault]:
    """Find instants that lie in two splits: other views of a picture trained on are no test."""
    faults: list[Fault] = []
    splits: dict[tuple[str, int], tuple[str, int]] = {}
    columns = (samples.session, samples.frame_id, samples.split)
    for n, (session, frame, split) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if not session:
            continue
        other, m = splits.setdefault((session, frame), (split, n))
        if other != split:
            text = f"frame {frame} of {session} is in {other or 'no split'} too (sample {m})"
            faults.append(Fault("one instant in two splits", n, text))
    return faults
