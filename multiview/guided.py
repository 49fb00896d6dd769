"""A second look where the 3D says that a hand must be.

Views that found a hand give 3D; projected with the real lens it tells every other view where to
look, so that the search for palms, the step that fails most, is not needed.

A crop made from a belief tends to confirm it: a network that is shown a hand-sized crop answers
with something hand-shaped in its middle. So each crop is read twice, moved either way along its
diagonal. What comes from the picture stays where it is; what comes from the crop moves with it. An
answer counts only if it moves less than a share of what the crops moved (`GuideConfig.follow`).

The answer need *not* lie on the projected 3D. Keeping only what agrees would hide the very views
that contradict a wrong point; whether a view agrees is for the vote of `multiview.triangulation` to
say, in which the new views stand beside the old ones, against as well as for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from multiview._shapes import F64, present
from multiview.association import AGREE_BOX, MAX_LOGIT, assign_hands, palm_keypoints
from multiview.capture import Capture
from multiview.config import Config
from multiview.core import Detections, Points3D, Rig, check_made_with
from multiview.errors import InputError
from multiview.models.base import U8, Detector, ImageHands, whole_hands
from multiview.prediction import (
    MIN_INSIDE,
    MIN_PX,
    box_side,
    predict_hands,
    within_picture,
)
from multiview.progress import Progress

__all__ = ["VERDICTS", "GuideConfig", "GuidedReport", "guide"]

BoolArray = NDArray[np.bool_]

# What became of a hand in a picture; the index is what `GuidedReport.verdict` holds.
VERDICTS = ("not looked", "added", "read again", "no hand", "moves with crop", "elsewhere", "other")
NOT_LOOKED, ADDED, REREAD, NO_HAND, MOVES, ELSEWHERE, OTHER = range(len(VERDICTS))
# Pictures in memory at once.
BATCH = 16
SUFFIX = "+guided"


class GuideConfig(Config):
    """Where to look again, and what to believe.

    Parameters
    ----------
    shift
        Each crop is read moved by this share of its side, either way. Smaller than the margin that
        crops leave around a hand, so that both still hold it.
    follow
        Largest share of the crops' motion that an answer may follow. A belief that is off by a
        quarter of the hand (more and association would call it another hand) then moves the answer
        by at most a twentieth: the tolerance of the vote.
    min_px
        Smaller hands are not looked for: below 22 px the vote's tolerance (4.5 % of the hand) is
        finer than one pixel.
    min_inside
        Share of the keypoints that must project into the picture.
    max_step
        A hand without 3D in one frame set between two with 3D is looked for half way, if it moved
        at most this many palm sizes a set (1: about 3 m/s at 30 Hz); 0 does not bridge gaps. Half
        of the motion is then at most one palm, which lies within the crop.
    reread
        Also look again where the first pass found the hand, and average the three answers.
    """

    shift: float = Field(0.1, gt=0, le=0.25)
    follow: float = Field(0.2, gt=0, lt=1)
    min_px: float = Field(MIN_PX, ge=1)
    min_inside: float = Field(MIN_INSIDE, ge=0, le=1)
    max_step: float = Field(1.0, ge=0)
    reread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedReport:
    """What a guided pass did.

    Parameters
    ----------
    before
        Hands in pictures that the first pass had, shape (V,).
    verdict
        What became of every hand in every picture, an index into `VERDICTS`, shape (V, F, H).
    camera_names
        V names.
    """

    before: NDArray[np.int64]
    verdict: NDArray[np.int8]
    camera_names: tuple[str, ...]

    @property
    def added(self) -> BoolArray:
        """Observations that the first pass did not have, shape (V, F, H)."""
        return np.asarray(self.verdict == ADDED, np.bool_)

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Per camera: how many hands met each verdict, each of shape (V,)."""
        return {
            name: np.asarray((self.verdict == n).sum((1, 2)), np.int64)
            for n, name in enumerate(VERDICTS)
        }


@dataclass(frozen=True, slots=True)
class _Looks:
    """Two readings of every hand looked for, NaN where the detector saw none."""

    xy: F64  # (2, V, F, H, K, 2)
    conf: F64  # (2, V, F, H, K)
    right: F64  # (2, V, F, H)
    moved_px: F64  # (V, F, H) distance of the two crops


def guide(
    capture: Capture,
    detector: Detector,
    dets: Detections,
    points: Points3D,
    rig: Rig,
    config: GuideConfig | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    progress: Progress | None = None,
) -> tuple[Detections, GuidedReport]:
    """Look again for hands that views missed, where the 3D of the other views projects to.

    Parameters
    ----------
    capture
        The take.
    detector
        Reads the crops.
    dets
        First pass; unsorted candidates are sorted into hands first.
    points, rig
        3D of ``dets``, and the rig it was made with.
    config
        Where to look, and what to believe.
    start, stop
        Range of frame sets.
    progress
        Called with ("guide", crops read, crops in all).

    Returns
    -------
    dets, report
        Detections of the range, with ``hands`` as the points have: those of the first pass, and
        what was added. Confidence is the smaller one of both looks, keypoints are their mean.

    Raises
    ------
    InputError
        If capture, detections, points, rig and detector do not belong together.
    CaptureError
        If a frame does not decode.
    """
    config = config or GuideConfig()
    rig = rig.select(dets.camera_names)
    _check(capture, detector, dets, points, rig)
    if not dets.hands:
        dets, _ = assign_hands(dets, rig, max(2, len(points.hands)))
        _check_hands(dets, points)
    first, last, _ = slice(start, stop).indices(len(dets.frame_ids))
    xyz = predict_hands(points, config.max_step)[first:last]
    part, prior = _cut(dets, first, last), rig.project(xyz)
    wanted = _wanted(part, prior, capture.sizes_wh, config)
    wanted &= capture.index[:, first:last, None] >= 0
    sought = np.where(wanted[..., None, None], prior, np.nan)
    looks = _look(capture, detector, sought, config, first, progress)
    return _merge(part, prior, looks, config)


def _cut(dets: Detections, first: int, last: int) -> Detections:
    return replace(
        dets,
        xy_px=dets.xy_px[:, first:last],
        conf=dets.conf[:, first:last],
        right=dets.right[:, first:last],
        times=dets.times[:, first:last],
        frame_ids=dets.frame_ids[first:last],
    )


def _wanted(
    dets: Detections, prior: F64, sizes_wh: tuple[tuple[int, int], ...], config: GuideConfig
) -> BoolArray:
    """Say which hands (V, F, H) to look for: missed, well inside the picture, large enough."""
    visible = within_picture(prior, sizes_wh, config.min_inside, config.min_px)
    return np.asarray(visible & (~dets.valid.any(-1) | config.reread), np.bool_)


def _look(
    capture: Capture,
    detector: Detector,
    prior: F64,
    config: GuideConfig,
    first: int,
    progress: Progress | None,
) -> _Looks:
    """Read two crops for every hand whose projection (V, F, H, K, 2) is given."""
    shape = prior.shape[:-1]
    rois, moved_px = _crops(detector, prior, config.shift)
    looks = _Looks(
        np.full((2, *shape, 2), np.nan),
        np.zeros((2, *shape)),
        np.full(rois.shape[:-1], np.nan),
        moved_px,
    )
    wanted = present(moved_px[..., None])
    done, total = 0, int(2 * wanted.sum())
    for v in range(shape[0]):
        for batch in _batches(capture, v, wanted[v].any(-1), first):
            rows = [np.flatnonzero(wanted[v, f]) for f, _ in batch]
            asked = [rois[:, v, f, h].reshape(-1, 4) for (f, _), h in zip(batch, rows, strict=True)]
            answers = detector.detect_batch([image for _, image in batch], asked)
            for (f, _), h, hands in zip(batch, rows, answers, strict=True):
                _keep(looks, v, f, h, hands)
                done += len(hands)
            if progress:
                progress("guide", done, total)
    return looks


def _crops(detector: Detector, prior: F64, shift: float) -> tuple[F64, F64]:
    """Two rois for each hand, (2, V, F, H, 4), and their distance in pixels, (V, F, H)."""
    *shape, k, _ = prior.shape
    roi = np.asarray(detector.rois_of(whole_hands(prior).reshape(-1, k, 2))).reshape(*shape, 4)
    angle = roi[..., 3] + np.pi / 4
    step = shift * roi[..., 2:3] * np.stack([np.cos(angle), np.sin(angle)], -1)
    rois = np.stack([roi, roi])
    rois[..., :2] += np.stack([step, -step])
    return rois, 2 * shift * roi[..., 2]


def _batches(
    capture: Capture, view: int, wanted: BoolArray, first: int
) -> Iterator[list[tuple[int, U8]]]:
    """Pictures of the wanted sets (F,) of one camera, some at a time, counted from ``first``."""
    sets = np.flatnonzero(wanted)
    if not sets.size:
        return
    batch: list[tuple[int, U8]] = []
    for f, image in capture.images(view, first + int(sets[0]), first + int(sets[-1]) + 1):
        if wanted[f - first]:
            batch.append((f - first, image))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _keep(looks: _Looks, v: int, f: int, h: NDArray[np.intp], hands: ImageHands) -> None:
    """Store the answers of one picture: all hands of the first look, then of the second."""
    looks.xy[:, v, f, h] = hands.xy_px.reshape(2, len(h), -1, 2)
    looks.conf[:, v, f, h] = hands.conf.reshape(2, len(h), -1)
    looks.right[:, v, f, h] = hands.handedness.reshape(2, len(h))


def _judge(dets: Detections, prior: F64, looks: _Looks, config: GuideConfig) -> NDArray[np.int8]:
    """Verdict on every hand (V, F, H), the first that applies."""
    palm = palm_keypoints(dets.skeleton.groups)
    missed = ~dets.valid.any(-1)
    mean = looks.xy.mean(0)
    allowed = AGREE_BOX * box_side(mean)
    # what moves by less than a pixel is at rest: no detector resolves more
    follows = np.maximum(config.follow * looks.moved_px, 1.0)
    moved = _distance(looks.xy[0], looks.xy[1])
    own, first = _distance(mean, prior, palm), _distance(mean, dets.xy_px, palm)
    other = _other_distance(mean, np.where(np.isfinite(prior), prior, dets.xy_px), palm)
    tests = {
        NOT_LOOKED: ~np.isfinite(looks.moved_px),
        NO_HAND: ~np.isfinite(moved),
        MOVES: moved >= follows,
        ELSEWHERE: (own >= allowed) | (~missed & ~(first < allowed)),
        OTHER: (other < own) | (missed & _other_side(dets, looks.right.mean(0))),
        ADDED: missed,
    }
    verdict = np.select(list(tests.values()), list(tests), REREAD)
    return np.asarray(verdict, np.int8)


def _distance(a: F64, b: F64, keypoints: list[int] | None = None) -> F64:
    """Mean distance of the keypoints (..., K, 2) that both have, pixels; infinite without any."""
    pick = slice(None) if keypoints is None else keypoints
    distance = np.asarray(np.linalg.norm(a[..., pick, :] - b[..., pick, :], axis=-1))
    both = present(distance[..., None])
    mean = np.where(both, distance, 0.0).sum(-1) / np.maximum(both.sum(-1), 1)
    return np.asarray(np.where(both.any(-1), mean, np.inf))


def _other_distance(mean: F64, hands: F64, palm: list[int]) -> F64:
    """Distance of each answer (V, F, H, K, 2) from the nearest of the *other* hands."""
    out = np.full(mean.shape[:3], np.inf)
    for turn in range(1, mean.shape[2]):
        rival = np.roll(hands, turn, axis=2)
        out = np.minimum(out, _distance(mean, rival, palm))
    return out


def _other_side(dets: Detections, right: F64) -> BoolArray:
    """Whether an answer (V, F, H) is of the other side than the views of the first pass say.

    Their own majority counts, not the name of the slot, which was voted over a whole take.
    """
    p = np.clip(dets.right, 1e-6, 1 - 1e-6)
    logit = np.clip(np.log(p / (1 - p)), -MAX_LOGIT, MAX_LOGIT)
    opinion = np.where(np.isfinite(logit), logit, 0.0).sum(0)
    return np.asarray((right - 0.5) * opinion < 0, np.bool_)


def _merge(
    dets: Detections, prior: F64, looks: _Looks, config: GuideConfig
) -> tuple[Detections, GuidedReport]:
    verdict = _judge(dets, prior, looks, config)
    added, again = (verdict == ADDED)[..., None], (verdict == REREAD)[..., None]
    xy = np.where(added[..., None], looks.xy.mean(0), dets.xy_px)
    thirds = (dets.xy_px + looks.xy.sum(0)) / 3
    report = GuidedReport(
        before=np.asarray(dets.valid.any(-1).sum((1, 2)), np.int64),
        verdict=verdict,
        camera_names=dets.camera_names,
    )
    guided = replace(
        dets,
        xy_px=np.where(again[..., None], thirds, xy),
        conf=np.where(added, looks.conf.min(0), dets.conf),
        right=np.where(added[..., 0], looks.right.mean(0), dets.right),
        source=f"{dets.source.removesuffix(SUFFIX)}{SUFFIX}",
    )
    return guided, report


def _check(
    capture: Capture, detector: Detector, dets: Detections, points: Points3D, rig: Rig
) -> None:
    """Refuse parts that do not belong together."""
    check_made_with(points, rig, "give the rig file that triangulate wrote beside the points")
    for what, value in (("detections", dets), ("3D points", points)):
        _check_take(capture, what, value)
    names = (detector.skeleton.keypoints, dets.skeleton.keypoints, points.skeleton.keypoints)
    if len(set(names)) > 1:
        raise InputError(
            f"detector {detector.name} reads {detector.skeleton.name} "
            f"({len(names[0])} keypoints), the first pass has {dets.skeleton.name} "
            f"({len(names[1])})",
            "guide with the detector of the first pass, or one with the same keypoints",
        )
    if dets.hands:
        _check_hands(dets, points)
    rig.check_sizes(capture.sizes_wh)


def _check_hands(dets: Detections, points: Points3D) -> None:
    if dets.hands != points.hands:
        raise InputError(
            f"the detections are of hands {dets.hands}, the 3D points of {points.hands}",
            "give the detections that triangulate used, sorted by associate() as it did",
        )


def _check_take(capture: Capture, what: str, value: Detections | Points3D) -> None:
    if value.camera_names != capture.names:
        raise InputError(
            f"the {what} have cameras {', '.join(value.camera_names)}, the capture "
            f"{', '.join(capture.names)}",
            f"give the capture that the {what} were made from",
        )
    if not np.array_equal(value.frame_ids, capture.frame_ids):
        raise InputError(
            f"the {what} have {len(value.frame_ids)} frame sets, the capture "
            f"{len(capture.frame_ids)}",
            f"give the capture that the {what} were made from, with the same sync options",
        )
