"""Score of a detector on a labelled dataset, as a stage; and pictures of what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from multiview._shapes import F64
from multiview.core import HandSamples
from multiview.errors import InputError
from multiview.evaluation.held_out import HeldOut, LabelledPicture, score_detector
from multiview.formats.atomic import replacing
from multiview.formats.datasets import Dataset, load_dataset
from multiview.models.base import U8
from multiview.models.card import load_card
from multiview.models.load import load_detector
from multiview.progress import progress_bar, say
from multiview.stage import Stage
from multiview.stages.network import load_for
from multiview.stages.pictures import write_image
from multiview.viz.overlay import Layer, caption, contact_sheet, crop_square, draw_hand

__all__ = ["changes_sheet", "read_score", "run_score"]

HANDS = "hands.npz"
TILE, SHOWN = 220, 8


def run_score(detector: str, dataset: Path, out: Path, *, force: bool = False) -> HeldOut:
    """Score a detector on a labelled dataset; write ``hands.npz`` and its figures into ``out``.

    Parameters
    ----------
    detector
        Name or card.
    dataset
        Of any layout; every labelled hand of a picture counts.
    out
        Output folder.
    force
        Replace an older, different result.

    Raises
    ------
    InputError
        If the dataset has other keypoints than the detector.
    """
    data = load_dataset(dataset)
    inputs = {"dataset": data.identity, "card": load_card(detector).digest}
    stage = Stage("held-out", {"detector": Path(detector).name}, inputs, out, force)
    if stage.done:
        return read_score(out)
    network = load_for(stage, lambda: load_detector(detector))
    if network.skeleton.keypoints != data.samples.skeleton.keypoints:
        raise InputError(
            f"{dataset} has keypoints of {data.samples.skeleton.name!r}, {detector} those of "
            f"{network.skeleton.name!r}",
            "score with a dataset of the detector's own keypoints",
        )
    with progress_bar() as progress:
        score = score_detector(network, _watched(data, progress))
    with replacing(stage.work / HANDS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, crop_error=score.crop_error, error=score.error, xy_px=score.xy_px)
    figures = score.figures()
    stage.finish(figures)
    say(
        f"held-out: PCK@0.1 {figures['crop_pck_0.1']:.3f} with crops given, "
        f"{figures['picture_pck_0.1']:.3f} from bare pictures, "
        f"{figures['detection_rate']:.1%} of {len(score.error)} hands found"
    )
    return score


def read_score(folder: Path) -> HeldOut:
    """Read what `run_score` wrote."""
    with np.load(folder / HANDS, allow_pickle=False) as data:
        return HeldOut(crop_error=data["crop_error"], error=data["error"], xy_px=data["xy_px"])


def rows_by_picture(samples: HandSamples) -> dict[str, list[int]]:
    """Rows of every picture, pictures in the order of their first hand."""
    rows: dict[str, list[int]] = {}
    for n, image in enumerate(samples.image.tolist()):
        rows.setdefault(image, []).append(n)
    return rows


def _watched(data: Dataset, progress: object) -> Iterator[LabelledPicture]:
    rows = rows_by_picture(data.samples)
    for number, (image, hands) in enumerate(rows.items(), start=1):
        yield LabelledPicture(image=data.pictures.read(image), xy_px=data.samples.xy_px[hands])
        progress("held-out", number, len(rows))  # type: ignore[operator]


def changes_sheet(before: HeldOut, after: HeldOut, dataset: Path, path: Path) -> Path:
    """Draw the held-out hands that a round changed most, for better and for worse.

    Parameters
    ----------
    before, after
        Scores of two detectors on the dataset.
    dataset
        The dataset.
    path
        Picture to write: the rows are the old answer and the new one, for the hands that gained
        most, then those that lost most; those that did not change are not shown. Rings are the
        labels.
    """
    data = load_dataset(dataset)
    order = np.concatenate([list(r) for r in rows_by_picture(data.samples).values()]).astype(int)
    gain = _mean(before.crop_error) - _mean(after.crop_error)
    ranked = np.argsort(gain, kind="stable")
    best, worst = ranked[::-1][:SHOWN], ranked[:SHOWN]
    rows = []
    for rank, word in ((best[gain[best] > 0], "better"), (worst[gain[worst] < 0], "worse")):
        for score, when in ((before, "before"), (after, "after")):
            rows.append(
                [_tile(data, int(order[n]), score, int(n), f"{word}: {when}") for n in rank]
            )
    sheet = contact_sheet([r for r in rows if r] or [[_nothing()]])
    write_image(sheet, path)
    return path


def _mean(error: F64) -> F64:
    """Mean error of each hand, a lost one counting as a whole hand off."""
    capped = np.minimum(error, 1.0)
    some = np.isfinite(capped).any(-1)
    out = np.zeros(len(error))
    out[some] = np.nanmean(capped[some], axis=-1)
    return out


def _nothing() -> U8:
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    caption(tile, "no held-out hand changed", 0.4)
    return tile


def _tile(data: Dataset, row: int, score: HeldOut, hand: int, text: str) -> U8:
    label = data.samples.xy_px[row]
    picture = data.pictures.read(str(data.samples.image[row]))
    tile, affine = crop_square(picture, label, TILE)
    for xy, layer in ((label, Layer.HOLLOW), (score.xy_px[hand], Layer.SOLID)):
        draw_hand(tile, xy @ affine[:, :2].T + affine[:, 2], data.samples.skeleton, layer, 0.6)
    caption(tile, f"{text} {_mean(score.crop_error[hand : hand + 1])[0]:.2f}", 0.4)
    return tile
