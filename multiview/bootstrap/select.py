"""Which frames become labels: score, best of each window, sort, reject, N best.

Few, very safe frames: what all views agree on, a hand can do, its subject's bones allow, and whose
estimated risk keeps the promised rate of false labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap import rejections as rules
from multiview.bootstrap.anatomy import is_hand, palm_axes, palm_coordinates
from multiview.bootstrap.diversity import farthest_clusters, stratified_order
from multiview.bootstrap.evidence import Evidence, gather_evidence, heldout_spread
from multiview.bootstrap.promise import Acceptance, Promise
from multiview.bootstrap.rejections import Rejection
from multiview.bootstrap.risk import Count, LabelRisk, RiskConfig, estimate_risk
from multiview.bootstrap.risk_fit import count_labels
from multiview.bootstrap.score import frame_scores
from multiview.bootstrap.shape import read_shapes
from multiview.config import Config
from multiview.core import Detections, Points3D, Rig, side_sign

__all__ = ["SelectConfig", "Selection", "select_labels"]


class SelectConfig(Config):
    """Which hands and keypoints are safe enough, and how many of them are wanted.

    Parameters
    ----------
    window
        Of so many consecutive frame sets the best is taken; 1 takes all. Simon et al.: 15 or 30.
    count
        Hands wanted; 0 takes all. Simon et al.: about 100 for 3 minutes.
    poses
        The wanted hands are taken in turn from so many groups of poses, so that they are not all
        the same easy one; 1 ignores the difference.
    directions
        The same for directions that the palm faces, and so the views of it.
    min_keypoints
        Share of the skeleton that must be left of a hand.
    min_inliers
        Agreeing views in the mean of a hand.
    min_confidence
        Mean confidence of the agreeing views: below one half, the detector itself doubts it.
    max_speed
        Of a keypoint against its hand, hand lengths a second: fingertips reach 2 m/s, 11 of them.
    max_bone_change
        Relative difference of a bone from the subject's median that is always allowed: keypoints
        a finger's width off change a finger bone by a quarter.
    joint_slack_deg
        Degrees that a joint may be beyond its range.
    swap_gain
        Log likelihood by which exchanged fingers or the mirrored hand must explain the points
        better: at 3 they are twenty times as likely.
    max_heldout
        Root mean square distance of held-out views from the point of the others, in hand sizes.
    distal
        A rejected joint takes those beyond it along.
    risk
        What is assumed of the detector's errors, where a rate of false labels is promised.
    """

    window: int = Field(1, ge=1)
    count: int = Field(0, ge=0)
    poses: int = Field(8, ge=1)
    directions: int = Field(4, ge=1)
    min_keypoints: float = Field(0.5, ge=0, le=1)
    min_inliers: float = Field(3.0, ge=0)
    min_confidence: float = Field(0.5, ge=0, le=1)
    max_speed: float = Field(12.0, gt=0)
    max_bone_change: float = Field(0.25, gt=0)
    joint_slack_deg: float = Field(15.0, ge=0)
    swap_gain: float = Field(3.0, ge=0)
    max_heldout: float = Field(0.1, gt=0)
    distal: bool = True
    risk: RiskConfig = RiskConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was selected, and what was not and why.

    Parameters
    ----------
    labels
        Keypoints that become labels, shape (F, H, K).
    hands
        Hands that do, shape (F, H).
    views
        Views in which something of the hand can be seen, shape (V, F, H).
    score
        Equation 7 over the keypoints that no rule rejected, shape (F, H).
    rank
        Place in the sorted list, shape (F, H); -1 for what is not on it.
    pose, direction
        Groups of the hands, shape (F, H); -1 where unknown.
    first
        Number of the rule that rejected each keypoint first, shape (F, H, K); -1: none.
    rejections
        The rules in their order.
    risk
        Of every label.
    acceptance
        What is promised; None without a promise.
    """

    labels: BoolArray
    hands: BoolArray
    views: BoolArray
    score: F64
    rank: IntArray
    pose: IntArray
    direction: IntArray
    first: IntArray
    rejections: tuple[Rejection, ...]
    risk: LabelRisk
    acceptance: Acceptance | None

    @property
    def expected_false(self) -> float:
        """Mean estimated risk of what is selected; NaN if nothing is."""
        return float(self.risk.risk[self.labels].mean()) if self.labels.any() else float("nan")


def select_labels(
    points: Points3D,
    dets: Detections,
    rig: Rig,
    config: SelectConfig | None = None,
    *,
    max_false_label_rate: float | None = None,
    allow_unvoted: bool = False,
    safe: BoolArray | None = None,
    subjects: IntArray | None = None,
    bodies: tuple[F64, F64] | None = None,
    verdicts: tuple[IntArray, BoolArray] | None = None,
) -> Selection:
    """Choose labels: reject keypoints and hands, keep the promise, take the best.

    Parameters
    ----------
    points
        Triangulated keypoints.
    dets
        The detections they come from, sorted into the same hands.
    rig
        The cameras of ``points`` in their order.
    config
        Limits.
    max_false_label_rate
        Promised rate of labels farther from the truth than a tenth of the hand; None: none.
    allow_unvoted
        Points that two views carry may become labels.
    safe
        Points that may become labels at all (`multiview.bootstrap.labels.safe_keypoints`), shape
        (F, H, K): what is promised is then of what is written.
    subjects
        Whose hands are in each frame, shape (F,); by default one person's.
    bodies
        Capsules that may hide hands, as `multiview.bootstrap.rejections.hidden_views` takes them.
    verdicts
        Keypoints that a person looked at: frame, hand, keypoint (N, 3), and which are wrong (N,).
        A promise then also rests on counting them.

    Returns
    -------
    Selection
        Possibly empty: `multiview.bootstrap.table.explain_empty` says why.
    """
    config = config or SelectConfig()
    evidence = gather_evidence(points, dets, rig)
    risk = estimate_risk(evidence, points.valid.shape, config.risk)
    take = _Take(points, dets, rig, config, evidence)
    if subjects is None:
        subjects = np.zeros(len(points.frame_ids), np.int64)
    found = [_unvoted(points)] if not allow_unvoted else []
    if safe is not None:
        found.append(_unsafe(points, safe))
    found += take.rejections(subjects, 2 if allow_unvoted else 0)
    if config.distal:
        bad = _any([r.mask for r in found if r.name in _JOINTS], points.valid)
        found.append(rules.distal_to(points, bad, points.skeleton))
    found.append(_too_few(points, found, config.min_keypoints))
    left = points.valid & ~_any([r.mask for r in found], points.valid)
    promise, smallest = None, float("nan")
    if max_false_label_rate is not None:
        need = int(np.ceil(config.min_keypoints * left.shape[-1]))
        counts = _counts(risk, verdicts)
        promise = Promise(risk, max_false_label_rate, config.risk, max(need, 1), counts)
        acceptance = promise.keep(left)
        found.append(_risky(left, acceptance, max_false_label_rate))
        left, smallest = acceptance.keep, acceptance.smallest
    chosen = take.finish(left, tuple(found), risk, promise, bodies)
    if chosen.acceptance is None:
        return chosen
    return replace(chosen, acceptance=replace(chosen.acceptance, smallest=smallest))


# Rules that judge a joint, so that those beyond it go with it.
_JOINTS = ("velocity", "bone length", "subject", "joint angle")


@dataclass(frozen=True, slots=True)
class _Take:
    points: Points3D
    dets: Detections
    rig: Rig
    config: SelectConfig
    evidence: Evidence

    def rejections(self, subjects: IntArray, views: int) -> list[Rejection]:
        """Ask every rule; ``views`` of a point are enough where that is not 0."""
        points, config = self.points, self.config
        found = [
            rules.few_inliers(points, min(config.min_inliers, views or config.min_inliers)),
            rules.low_confidence(points, self.dets, config.min_confidence),
            rules.odd_velocity(points, self.times, self.evidence.size, config.max_speed),
            rules.views_disagree(points, self.spread, config.max_heldout),
        ]
        if not is_hand(points.skeleton):
            return found
        said = self.signs
        side = np.where(said == 0, self.side, said)
        return [
            *found,
            rules.bones_too_long(points, self.evidence.size),
            rules.unlike_subject(points, subjects, config.max_bone_change),
            rules.mirrored(points, said, config.swap_gain),
            rules.fingers_exchanged(points, side, config.swap_gain),
            rules.beyond_joint_range(points, side, config.joint_slack_deg),
        ]

    @property
    def times(self) -> F64:
        """Time of every frame set: mean over the cameras that have a picture."""
        return rules.mean_of(self.dets.times.T)

    @property
    def spread(self) -> F64:
        out = np.full(self.points.valid.shape, np.nan)
        inlier = self.points.inlier[(slice(None), *self.evidence.index.T)]
        out[tuple(self.evidence.index.T)] = heldout_spread(self.evidence.heldout, inlier)
        return out

    @property
    def signs(self) -> IntArray:
        names = self.points.hands or [""] * self.points.valid.shape[1]
        signs = np.array([side_sign(n) for n in names], np.int64)
        return np.broadcast_to(signs, self.points.valid.shape[:2])

    @property
    def side(self) -> IntArray:
        shape = self.points.valid.shape
        xyz = self.points.xyz_world.reshape(-1, *shape[2:], 3)
        return read_shapes(xyz, 0, swaps=False).side.reshape(shape[:2])

    def finish(
        self,
        left: BoolArray,
        found: tuple[Rejection, ...],
        risk: LabelRisk,
        promise: Promise | None,
        bodies: tuple[F64, F64] | None,
    ) -> Selection:
        """Sort what is left, and take the best; those keep the promise too."""
        score = frame_scores(self.points, self.dets, left)
        pose, direction = self.groups(left)
        rank = self.ranked(score, pose, direction, np.asarray(left.any(-1)))
        labels = left & (rank >= 0)[..., None]
        acceptance = None
        if promise is not None:
            acceptance = promise.keep(labels)
            labels = acceptance.keep
        hands = np.asarray(labels.any(-1))
        rank = np.where(hands, rank, -1)
        first = np.full(left.shape, -1, np.int64)
        for number in reversed(range(len(found))):
            first[found[number].mask] = number
        return Selection(
            labels=labels,
            hands=hands,
            views=~rules.hidden_views(self.points, self.rig, bodies),
            score=score,
            rank=rank,
            pose=pose,
            direction=direction,
            first=first,
            rejections=found,
            risk=risk,
            acceptance=acceptance,
        )

    def groups(self, left: BoolArray) -> tuple[IntArray, IntArray]:
        """Pose and direction of every hand that is left, shape (F, H)."""
        shape = left.shape[:2]
        none = np.full(shape, -1, np.int64)
        if not is_hand(self.points.skeleton):
            return none, none
        signs = np.where(self.signs == 0, 1, self.signs)
        use = left.any(-1)
        xyz = np.where(left[..., None], self.points.xyz_world, np.nan)
        pose, direction = none.copy(), none.copy()
        coordinates = palm_coordinates(xyz, signs)[use].reshape(int(use.sum()), 3 * left.shape[-1])
        pose[use] = farthest_clusters(coordinates, self.config.poses)
        direction[use] = farthest_clusters(palm_axes(xyz, signs)[1][use], self.config.directions)
        return pose, direction

    def ranked(self, score: F64, pose: IntArray, direction: IntArray, use: BoolArray) -> IntArray:
        """Place of every hand in the sorted list, shape (F, H); -1 for the others."""
        best = use & _best_of_windows(np.where(use, score, -np.inf), self.config.window)
        stratum = ((pose + 1) * (self.config.directions + 1) + direction + 1).ravel()
        if not self.config.count:
            stratum = np.zeros_like(stratum)
        order = stratified_order(score.ravel(), stratum, best.ravel())
        if self.config.count:
            order = order[: self.config.count]
        rank = np.full(score.size, -1, np.int64)
        rank[order] = np.arange(len(order))
        return rank.reshape(score.shape)


def _best_of_windows(score: F64, window: int) -> BoolArray:
    """Mark the best frame of every window, hand by hand; shape (F, H)."""
    out = np.zeros(score.shape, np.bool_)
    for start in range(0, len(score), window):
        part = score[start : start + window]
        h = np.flatnonzero(np.isfinite(part).any(0))
        out[start + part[:, h].argmax(0), h] = True
    return out


def _any(masks: list[BoolArray], valid: BoolArray) -> BoolArray:
    out = np.zeros_like(valid)
    for mask in masks:
        out |= mask
    return out


def _counts(risk: LabelRisk, verdicts: tuple[IntArray, BoolArray] | None) -> tuple[Count, ...]:
    if verdicts is None:
        return ()
    index, wrong = verdicts
    value = risk.risk[tuple(index.T)]
    known = np.isfinite(value)
    return count_labels(value[known], wrong[known], index[known, 0])


def _unvoted(points: Points3D) -> Rejection:
    return Rejection(
        name="two views",
        mask=points.valid & ~points.voted,
        reason="rests on two views only, so that nothing could outvote an error",
        change="add a camera, or accept that risk with --label.allow-unvoted",
    )


def _unsafe(points: Points3D, safe: BoolArray) -> Rejection:
    return Rejection(
        name="few views",
        mask=points.valid & points.voted & ~safe,
        reason="too few views agree on the keypoint with its whole finger",
        change="lower --label.min-views, or let keypoints count one by one (--label.unit keypoint)",
    )


def _risky(left: BoolArray, acceptance: Acceptance, target: float) -> Rejection:
    return Rejection(
        name="risk",
        mask=left & ~acceptance.keep,
        reason=f"not among the labels that keep a false rate of {target:g}",
        change=f"promise less: {acceptance.smallest:.2g} is about the least that holds for a hand",
    )


def _too_few(points: Points3D, found: list[Rejection], share: float) -> Rejection:
    left = points.valid & ~_any([r.mask for r in found], points.valid)
    few = left.mean(-1) < share
    return Rejection(
        name="too few left",
        mask=np.asarray(few[..., None] & points.valid),
        reason=f"less than {share:.0%} of the hand's keypoints are left",
        change="lower --select.min-keypoints",
    )
