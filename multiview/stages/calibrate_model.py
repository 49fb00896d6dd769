"""`multiview models calibrate`: fit a network's confidence to hands that are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiview._shapes import F64, present
from multiview.capture import Capture
from multiview.core import Skeleton
from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.formats.coco import image_name, read_coco
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.images import read_image
from multiview.models.base import U8, Detector
from multiview.models.card import DATA, WORKSPACE, ModelCard, load_card
from multiview.models.confidence import SHIPPED, Calibration, read_calibrations
from multiview.models.fit_confidence import calibration_text, collect, fit, held_out
from multiview.models.load import build_detector
from multiview.progress import Progress, progress_bar, say
from multiview.stages.evaluate import read_truth

__all__ = [
    "Fitted",
    "Known",
    "counted",
    "fit_confidences",
    "known_in_labels",
    "known_in_take",
    "run_calibrate_model",
]

COMMENT = "Parameters of multiview.models.confidence; `multiview models calibrate` wrote them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Pictures in which the hands are known.

    Parameters
    ----------
    name
        Where they come from, for the file.
    xy_px
        Keypoints, shape (V, F, H, K, 2) [px]; NaN where unknown.
    skeleton
        Meaning of axis K; None: as many keypoints as the network has, in its order.
    source
        The take, or the folder of labels with the names of its cameras and its frames.
    """

    name: str
    xy_px: F64
    skeleton: Skeleton | None
    source: Capture | tuple[Path, tuple[str, ...], tuple[int, ...]]

    def pictures(self, most: int) -> Iterator[tuple[U8, F64]]:
        """At most so many pictures with a known hand, spread over cameras and frames."""
        some = np.argwhere(present(self.xy_px).any((-1, -2)))
        if isinstance(self.source, Capture):
            some = some[self.source.index[some[:, 0], some[:, 1]] >= 0]
        chosen = some[np.linspace(0, len(some) - 1, min(most, len(some))).astype(int)]
        for v, f in chosen.tolist():
            yield self._image(v, f), self.xy_px[v, f]

    def _image(self, v: int, f: int) -> U8:
        if isinstance(self.source, Capture):
            return self.source.image(v, f)
        folder, cameras, frames = self.source
        return read_image(folder / image_name(cameras[v], frames[f]))


def known_in_take(
    capture: Capture, *, points: Path | None, truth: Path | None, rig: Path | None
) -> Known:
    """Project 3D into the pictures of a take: a folder of `multiview triangulate`, or truth.

    Raises
    ------
    InputError
        If neither or both are given, or they do not belong to this take.
    """
    if (points is None) == (truth is None) or (truth is None) != (rig is None):
        raise InputError(
            "a take needs either --points or both --truth and --rig",
            "multiview models calibrate NAME --take TAKE --points TRIANGULATED",
        )
    skeleton = None
    if points is not None:
        table = read_points(points / "points.parquet")
        xyz, skeleton, cameras = table.xyz_world, table.skeleton, read_rig(points / "rig.yaml")
    else:
        assert truth is not None
        assert rig is not None
        xyz, cameras = read_truth(truth), read_rig(rig)
    if len(xyz) != len(capture.frame_ids):
        raise InputError(
            f"{points or truth} holds {len(xyz)} frame sets, the take {len(capture.frame_ids)}",
            "give 3D of this take, and the same --input options as for detect",
        )
    cameras = cameras.select(capture.names)
    cameras.check_sizes(capture.sizes_wh)
    name = f"{points or truth} on {len(capture.names)} cameras x {len(xyz)} frame sets"
    return Known(name=name, xy_px=cameras.project(xyz), skeleton=skeleton, source=capture)


def known_in_labels(folder: Path) -> Known:
    """Read the folder of `multiview label`.

    Raises
    ------
    InputError
        If there are no such labels.
    """
    folder = folder.parent if folder.name == "coco.json" else folder
    labels = read_coco(folder / "coco.json")
    xy = np.where(labels.keep[..., None, None], labels.xy_px, np.nan)
    source = folder, labels.camera_names, tuple(labels.frame_ids.tolist())
    return Known(name=f"labels {folder}", xy_px=xy, skeleton=labels.skeleton, source=source)


def run_calibrate_model(
    name: str,
    known: Known,
    *,
    passes: Sequence[int],
    pictures: int,
    runtime: str = "cv2",
    provider: str = "cpu",
) -> Path:
    """Fit, judge each half of the pictures by the other, and write ``confidence.yaml``.

    It lies beside the model's card; for a shipped network in ``./models``. Entries of other
    networks and numbers of passes stay.

    Parameters
    ----------
    name
        The model, by name or path of its card.
    known
        Pictures with known hands.
    passes
        Numbers of extra crops to calibrate for.
    pictures
        Pictures that are read at most.
    runtime, provider
        See `multiview.load_detector`.

    Raises
    ------
    InputError
        If keypoints do not fit, no known hand is found, or all keypoints are right or wrong.
    """
    if not passes:
        raise InputError("no number of passes", "--passes 0 2")
    card = load_card(name)
    detector = build_detector(card, runtime=runtime, provider=provider)
    _check_keypoints(card, known)
    target = (WORKSPACE if card.folder == DATA else card.folder) / SHIPPED.name
    old = read_calibrations(target) if target.exists() else ()
    with progress_bar() as progress:
        read = counted(known.pictures(pictures), progress, pictures)
        fitted = [f.calibration for f in fit_confidences(detector, read, passes, known.name)]
    keys = {(c.sha256, c.passes) for c in fitted}
    kept: list[Calibration] = [c for c in old if (c.sha256, c.passes) not in keys]
    write_text(target, calibration_text([*kept, *fitted], COMMENT))
    say(f"{target} is written; multiview models show {name}")
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A calibration, and what it was worth on hands that it was not fitted on.

    Parameters
    ----------
    calibration
        Fitted on all hands.
    judged
        Mean confidence ``said``, share ``right``, mean ``gap`` between the two (expected
        calibration error), of each half of the pictures by a fit on the other; empty if too few.
    """

    calibration: Calibration
    judged: dict[str, float]


def fit_confidences(
    detector: Detector, pictures: Iterable[tuple[U8, F64]], passes: Sequence[int], about: str
) -> list[Fitted]:
    """Fit a network's confidence for each number of passes, and say what it is worth.

    Parameters
    ----------
    detector
        The network, as it is without extra passes.
    pictures
        BGR pictures and their known hands, (H, K, 2) [px].
    passes
        Numbers of extra crops.
    about
        Where the pictures come from, for the file.

    Raises
    ------
    InputError
        If no known hand is found, or all keypoints are right or all wrong.
    """
    done = []
    for p, part in collect(detector, pictures, passes).items():
        fitted, shares = fit(detector, part, p, about), held_out(detector, part, p)
        judged = {} if shares is None else dict(zip(("said", "right", "gap"), shares, strict=True))
        text = "too few for a test on one half"
        if judged:
            text = "held-out half: said {said:.3f}, right {right:.3f}, mean gap {gap:.3f}"
        say(f"{detector.name}, passes {p}: {len(part.right)} hands; {text.format(**judged)}")
        done.append(Fitted(calibration=fitted, judged=judged))
    return done


def _check_keypoints(card: ModelCard, known: Known) -> None:
    have = known.xy_px.shape[-2] if known.skeleton is None else known.skeleton.keypoints
    want = len(card.keypoints) if known.skeleton is None else card.keypoints
    if have != want:
        raise InputError(
            f"model {card.name} reads {len(card.keypoints)} keypoints, {known.name} has "
            f"{known.xy_px.shape[-2]}, or others",
            "give 3D or labels with the keypoints of this model",
        )


def counted(
    pictures: Iterator[tuple[U8, F64]], progress: Progress, most: int
) -> Iterator[tuple[U8, F64]]:
    """Pass pictures on, and show how many there were."""
    for n, item in enumerate(pictures, 1):
        yield item
        progress("calibrate", n, max(n, most))
