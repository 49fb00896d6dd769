"""Hands followed from picture to picture of one camera: MediaPipe's rule, plus lasting numbers.

The rule is that of ``hand_landmark_tracking_cpu`` of mediapipe 0.10.21 with
``static_image_mode=False``:

1. Each hand of the previous picture gives a crop (`Detector.rois_of` of its keypoints).
2. If those are fewer than ``max_hands``, the whole picture is searched; the best ``max_hands``
   proposals come before the tracked crops.
3. Of two crops that overlap (IoU of the unrotated squares above 0.5) the later stays: a tracked
   crop replaces proposals.
4. Each remaining crop is read once; one in which the detector sees no hand ends its track.

The one difference: MediaPipe may return more than ``max_hands`` hands (proposals beside tracked
ones); here tracked hands go first, then the most probable.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, present
from multiview.core import Skeleton
from multiview.errors import InputError
from multiview.models._crops import overlap
from multiview.models.base import U8, Detector, ImageHands
from multiview.models.mediapipe_palm import distinct

__all__ = ["Tracker"]

IntArray = NDArray[np.int64]

# Pictures that a lost hand's number is kept: a second at 30 a second, for hands behind others.
MEMORY = 30
# A hand moves less than its own length between two pictures: at 30 a second that is 5 m/s.
REACH = 1.0
# The side of a hand does not change, so its estimate is a mean; over this many pictures, not all,
# so that a track that has slipped to the other hand recovers within a second.
SIDE_MEMORY = 30


@dataclass(slots=True)
class _Track:
    """Where a numbered hand was last: palm, its motion [px a picture], keypoint box, side."""

    id: int
    palm: list[float]
    motion: list[float]
    box: list[float]
    right: float
    count: int
    seen: int

    @property
    def size(self) -> float:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


class Tracker:
    """State of one camera: which hands to look for in its next picture.

    Either `step`, or, to put the crops of several cameras through the network at once::

        proposals = detector.propose(image) if tracker.needs_search() else None
        rois = tracker.rois(proposals)
        hands, ids = tracker.update(detector.detect_batch([image], [rois])[0])

    Parameters
    ----------
    detector
        What reads the crops. It may be shared by the trackers of several cameras in one thread.
    max_hands
        Hands followed at most.
    search_every
        While at least one hand is tracked, search the whole picture for more only in every n-th
        picture; 1 is MediaPipe's rule. With no hand tracked, every picture is searched.
    smooth_handedness
        Return the handedness as the mean over the track's last second, not the single picture's.

    Raises
    ------
    InputError
        If a number is below 1.
    """

    def __init__(
        self,
        detector: Detector,
        max_hands: int = 2,
        search_every: int = 1,
        *,
        smooth_handedness: bool = True,
    ) -> None:
        if max_hands < 1 or search_every < 1:
            raise InputError(
                f"max_hands={max_hands}, search_every={search_every}", "both are at least 1"
            )
        self.detector, self.max_hands, self.search_every = detector, max_hands, search_every
        self.smooth_handedness = smooth_handedness
        self.reset()

    def reset(self) -> None:
        """Forget all hands, as at a cut in the film; their numbers are not given again."""
        self._tracked = np.empty((0, 4))  # crops for the next picture, in MediaPipe's order
        self._asked, self._from_track = self._tracked, np.empty(0, np.bool_)
        self._tracks: list[_Track] = []
        self._frame, self._unsearched = 0, 0
        self._next_id: int = getattr(self, "_next_id", 0)

    def needs_search(self) -> bool:
        """Whether the next picture is to be searched as a whole (`Detector.propose`)."""
        if not len(self._tracked):
            return True
        return len(self._tracked) < self.max_hands and self._unsearched + 1 >= self.search_every

    def rois(self, proposals: F64 | None = None) -> F64:
        """Crops of the next picture, (N, 4); read them all, in this order, and call `update`.

        Parameters
        ----------
        proposals
            What `Detector.propose` found, best first, shape (M, 4); None: not searched.
        """
        self._unsearched = self._unsearched + 1 if proposals is None else 0
        new = np.empty((0, 4)) if proposals is None else proposals[: self.max_hands]
        rois = np.concatenate([new, self._tracked])
        rows = distinct(rois)
        self._asked, self._from_track = rois[rows], rows >= len(new)
        return self._asked

    def update(self, hands: ImageHands) -> tuple[ImageHands, IntArray]:
        """Take in what the detector read in the crops of `rois`.

        Parameters
        ----------
        hands
            One row per crop; NaN where it sees no hand.

        Returns
        -------
        tuple
            The hands found, by number, and the number of each, shape (N,): it stays with the hand
            while it is tracked, and when it comes back within a second where it was lost.

        Raises
        ------
        InputError
            If ``hands`` has not one row per crop.
        """
        if len(hands) != len(self._asked):
            raise InputError(
                f"{len(hands)} rows for {len(self._asked)} crops",
                "pass what the detector gives for the crops of rois(), in that order",
            )
        found = np.flatnonzero(present(hands.xy_px).any(axis=1))
        if len(found) > self.max_hands:
            best = np.lexsort((-hands.presence[found], ~self._from_track[found]))
            found = np.sort(found[best[: self.max_hands]])
        hands = hands.take(found)
        rois = self.detector.rois_of(hands.xy_px)
        self._tracked = rois[np.isfinite(rois).all(axis=1)]
        self._frame += 1
        ids, right = self._number(hands)
        if self.smooth_handedness:
            hands = replace(hands, handedness=right)
        order = np.argsort(ids)
        return hands.take(order), ids[order]

    def step(self, image: U8) -> tuple[ImageHands, IntArray]:
        """Find the hands of the next picture; see `update`."""
        proposals = self.detector.propose(image) if self.needs_search() else None
        return self.update(self.detector.detect(image, self.rois(proposals)))

    def state(self) -> dict[str, Any]:
        """Everything remembered, as plain data for JSON; call it between two pictures."""
        return {
            "tracked": self._tracked.tolist(),
            "tracks": [asdict(t) for t in self._tracks],
            "counters": [self._frame, self._unsearched, self._next_id],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, as if there had been no break."""
        self._tracked = np.array(state["tracked"], np.float64).reshape(-1, 4)
        self._tracks = [_Track(**t) for t in state["tracks"]]
        self._frame, self._unsearched, self._next_id = state["counters"]

    def _number(self, hands: ImageHands) -> tuple[IntArray, F64]:
        """Decide the number and the smoothed handedness of each hand.

        Not simply the number of the crop it was read in: when two hands cross, both crops may
        follow one of them, and which one survives step 3 is no matter of identity.
        """
        ids, right = np.full(len(hands), -1, np.int64), hands.handedness.copy()
        known = [t for t in self._tracks if self._frame - t.seen <= MEMORY]
        palms = _palms(hands.xy_px, self.detector.skeleton)
        boxes = _boxes(hands.xy_px)
        for row, t in _pairs(self._costs(known, palms, boxes, right)):
            ids[row] = known[t].id
        tracks = {t.id: t for t in known}
        for row in range(len(hands)):
            if ids[row] < 0:
                ids[row], self._next_id = self._next_id, self._next_id + 1
            seen = (palms[row].tolist(), boxes[row].tolist(), float(right[row]))
            track = _seen(tracks.get(int(ids[row])), int(ids[row]), self._frame, *seen)
            tracks[track.id], right[row] = track, track.right
        self._tracks = list(tracks.values())
        return ids, right

    def _costs(self, known: list[_Track], palms: F64, boxes: F64, right: F64) -> F64:
        """How unlike hand and track are, (N, T): palm distance in hand lengths, overlap, side.

        Infinite out of reach. Each term is 0 for the same hand and about 1 for two hands side by
        side.
        """
        costs = np.empty((len(palms), len(known)))
        for t, track in enumerate(known):
            # a lost hand is looked for where it was, one just seen where it was going
            going = np.array(track.motion) if track.seen == self._frame - 1 else np.zeros(2)
            last, size = np.array(track.palm), max(track.size, 1.0)
            off = np.linalg.norm(palms - (last + going), axis=1) / size
            moved = np.linalg.norm(palms - last, axis=1) / size
            apart = 1 - overlap(boxes - np.tile(going, 2), np.array(track.box))
            side = np.nan_to_num(np.abs(right - track.right))
            costs[:, t] = np.where(np.minimum(off, moved) <= REACH, off + apart + side, np.inf)
        return costs


def _seen(
    track: _Track | None,
    number: int,
    frame: int,
    palm: list[float],
    box: list[float],
    right: float,
) -> _Track:
    """Return the track after one more sighting."""
    if track is None:
        return _Track(number, palm, [0.0, 0.0], box, right, 1, frame)
    gap = frame - track.seen
    motion = [(new - old) / gap for new, old in zip(palm, track.palm, strict=True)]
    count = min(track.count + 1, SIDE_MEMORY)
    mean = track.right + (right - track.right) / count
    # NaN: a detector that does not know the side of this hand, or of any
    right = mean if mean == mean else (track.right if right != right else right)
    return _Track(number, palm, motion, box, right, count, frame)


def _palms(xy_px: F64, skeleton: Skeleton) -> F64:
    """Middle of the wrist and the fingers' bases, (N, 2): still while fingers move.

    The middle of the box for a hand without any of them.
    """
    bases = xy_px[:, [members[0] for members in skeleton.groups.values()]]
    known = np.any(present(bases), axis=1)[:, None, None]
    middles = _boxes(xy_px).reshape(-1, 2, 2).mean(axis=1, keepdims=True)
    return np.asarray(np.nanmean(np.where(known, bases, middles), axis=1), np.float64)


def _boxes(xy_px: F64) -> F64:
    """Tight boxes x0, y0, x1, y1 of the keypoints, (N, 4)."""
    if not len(xy_px):
        return np.empty((0, 4))
    return np.concatenate([np.nanmin(xy_px, axis=1), np.nanmax(xy_px, axis=1)], axis=1)


def _pairs(costs: F64) -> list[tuple[int, int]]:
    """Rows and columns of the cheapest one-to-one assignment; infinite costs are no pairs."""
    possible = present(costs[..., None])
    if not np.any(possible):
        return []
    from scipy.optimize import linear_sum_assignment

    # dearer than all possible pairs together, so that as many as possible are made
    never = costs[possible].sum() + 1.0
    rows, columns = linear_sum_assignment(np.where(possible, costs, never))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(r, c) for r, c in pairs if possible[r, c]]
