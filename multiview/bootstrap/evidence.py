"""What speaks against a 3D keypoint, in numbers that mean the same on every rig.

Every cue is a ratio: to the hand's size, to the number of views, to what anatomy allows. All rise
with doubt. None needs truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, BoolArray, IntArray
from multiview.bootstrap.anatomy import (
    BONE_LOG_SD,
    BONE_SHARE,
    HAND_BONES,
    beyond_range,
    bone_scales,
    bone_vectors,
    hand_scale,
    is_hand,
    joint_angles,
)
from multiview.bootstrap.occlusion import hidden_by_itself
from multiview.bootstrap.shape import read_shapes
from multiview.core import Detections, Points3D, Rig, side_sign
from multiview.geometry.dlt import dlt
from multiview.geometry.leave_one_out import leave_one_out_errors
from multiview.geometry.median import median_of
from multiview.geometry.ransac import Tolerance, vote_groups

__all__ = ["CUES", "Evidence", "gather_evidence", "heldout_spread"]

CUES = {
    "few": "minus the logarithm of the number of agreeing views",
    "dissent": "log odds of a view that saw the keypoint to disagree",
    "sigma": "largest standard deviation of the point over the hand's size, logarithm",
    "spread": "held-out distance of the agreeing views over the hand's size, logarithm",
    "halves": "distance of the points of two disjoint halves of the views over hand size, log",
    "rival": "log odds of views that disagree but agree with one another elsewhere",
    "conf": "log odds of the agreeing views' mean confidence to be wrong",
    "bone": "deviation of the keypoint's bones from usual proportions, standard deviations",
    "bend": "degrees beyond what the joint can do, and beside its plane, over 10",
    "finger": "log odds of views to disagree over the whole finger",
    "hand": "log odds of views to disagree over the whole hand",
    "blur": "median held-out distance over the whole hand, logarithm",
    "swap": "log likelihood that exchanged fingers gain, from -10 to 10",
    "side": "share of the agreeing views that call the hand the other one",
    "hidden": "share of the agreeing views that look at the keypoint through the hand",
    "reach": "joints between the keypoint and the palm",
}
"""The cues and what they say."""

# A point takes two views, so that two disjoint points take four.
_HALVES = 4
# Confidences that differ by less do not differ.
_SAME = 0.01
# No distance is told more finely than this share of a hand.
_FINE = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Cues of the labels of a take.

    Parameters
    ----------
    index
        Frame, hand and keypoint of every label, shape (N, 3).
    cues
        Shape (N, P) in the order of `CUES`; NaN where a cue does not apply.
    candidates, agree
        Views that saw the keypoint, and that carry it, shape (N,).
    z
        Largest standard deviation over the hand's size, shape (N,).
    size
        Size of the hand, rig units, shape (F, H).
    heldout
        Held-out distance of every view's detection over the hand's size, agreeing or not, shape
        (V, N); NaN where there is none.
    """

    index: IntArray
    cues: F64
    candidates: IntArray
    agree: IntArray
    z: F64
    size: F64
    heldout: F64


def gather_evidence(points: Points3D, dets: Detections, rig: Rig) -> Evidence:
    """Collect what speaks against every triangulated keypoint.

    Parameters
    ----------
    points
        Triangulated keypoints of hands.
    dets
        The detections they come from, sorted into the same hands.
    rig
        The cameras of ``points`` in their order.
    """
    valid = points.valid
    f, h, k = np.nonzero(valid)
    size = hand_sizes(points)
    scene = _Scene(points, dets, rig, size, (f, h, k))
    n, m = scene.agree, scene.candidates
    away = scene.heldout()
    within = np.where(scene.inlier, away, np.nan)
    values = {
        "few": -np.log(scene.carriers),
        "dissent": _odds(m - n, n),
        "sigma": np.log(scene.z + _FINE),
        "spread": np.log(_rms(within) + _FINE),
        "halves": scene.halves(),
        "rival": scene.rivals(),
        "conf": scene.doubt(),
        "side": scene.other_side(),
        **scene.groups(within),
        **scene.anatomy(),
    }
    return Evidence(
        index=np.stack([f, h, k], axis=1),
        cues=np.stack([values[name] for name in CUES], axis=1),
        candidates=m,
        agree=n,
        z=scene.z,
        size=size,
        heldout=away,
    )


def hand_sizes(points: Points3D) -> F64:
    """Size of every hand (F, H): as its own bones tell it, or the take's.

    Of another skeleton: the longest chain of median bones from a root to a leaf.
    """
    if not is_hand(points.skeleton):
        return np.full(points.valid.shape[:2], _longest_chain(points))
    out, every = hand_scale(points.xyz_world), bone_scales(points.xyz_world)
    whole = float(median_of(every.ravel()))
    for h in range(out.shape[1]):
        unknown = ~np.isfinite(out[:, h])
        usual = float(median_of(out[:, h] if not unknown.all() else every[:, h].ravel()))
        out[unknown, h] = usual if np.isfinite(usual) else whole
    return out


def _longest_chain(points: Points3D) -> float:
    reach = np.zeros(len(points.skeleton.keypoints))
    for parent, child in points.skeleton.edges:
        bone = points.xyz_world[:, :, child] - points.xyz_world[:, :, parent]
        length = float(median_of(np.linalg.norm(bone, axis=-1).ravel()))
        reach[child] = reach[parent] + (length if np.isfinite(length) else 0.0)
    return float(reach.max()) or float("nan")


@dataclass(frozen=True, slots=True)
class _Scene:
    points: Points3D
    dets: Detections
    rig: Rig
    sizes: F64
    at: tuple[IntArray, IntArray, IntArray]

    def of(self, values: F64) -> F64:
        """Values (V, F, H, K, ...) of the labels, shape (V, N, ...)."""
        return np.asarray(values[(slice(None), *self.at)])

    @property
    def inlier(self) -> BoolArray:
        return np.asarray(self.points.inlier[(slice(None), *self.at)])

    @property
    def seen(self) -> BoolArray:
        return np.isfinite(self.of(self.points.err_px))

    @property
    def agree(self) -> IntArray:
        return np.asarray(self.inlier.sum(0))

    @property
    def carriers(self) -> IntArray:
        """Views that agree; no less than one, for places that smoothing filled."""
        return np.asarray(np.maximum(self.agree, 1))

    @property
    def candidates(self) -> IntArray:
        return np.asarray((self.seen | self.inlier).sum(0))

    @property
    def size(self) -> F64:
        return np.asarray(self.sizes[self.at[:2]])

    @property
    def xyz(self) -> F64:
        return np.asarray(self.points.xyz_world[self.at])

    @property
    def z(self) -> F64:
        largest = np.linalg.eigvalsh(self.points.cov[self.at])[:, -1]
        return np.asarray(np.sqrt(np.maximum(largest, 0)) / self.size)

    def heldout(self) -> F64:
        """Held-out lateral distance of every view over the hand's size, shape (V, N)."""
        R, t = self.rig.cam_from_world
        depth = np.einsum("vi,ni->vn", R[:, 2], self.xyz) + t[:, 2:]
        focal = np.array([[c.intrinsics.K[0, 0]] for c in self.rig.cameras])
        left_out = leave_one_out_errors(self.rig, self.xyz, self.of(self.dets.xy_px), self.inlier)
        px = np.where(self.inlier, left_out, self.of(self.points.err_px))
        return np.asarray(px * depth / focal / self.size)

    def halves(self) -> F64:
        """Distance of the points that every other view and the rest make."""
        out = np.full(self.agree.shape, np.nan)
        rows = np.flatnonzero(self.agree >= _HALVES)
        if rows.size:
            xy, inlier = self.rig.undistort(self.of(self.dets.xy_px)[:, rows]), self.inlier[:, rows]
            order = np.cumsum(inlier, axis=0) % 2
            R, t = self.rig.cam_from_world
            one, two = (dlt(R, t, xy, inlier & (order == o)) for o in (0, 1))
            out[rows] = np.log(np.linalg.norm(one - two, axis=-1) / self.size[rows] + _FINE)
        return out

    def rivals(self) -> F64:
        """Largest set of views that agree with one another but not with the point."""
        xy = self.rig.undistort(self.of(self.dets.xy_px))
        rest = np.where((self.seen & ~self.inlier)[..., None], xy, np.nan)
        near = float(median_of(self.size))
        if not np.isfinite(near):
            return np.full(self.agree.shape, np.nan)
        tolerance = Tolerance(length=_NEAR * near, norm=np.zeros(len(xy)))
        vote = vote_groups(
            *self.rig.cam_from_world, rest[:, :, None], np.zeros(1, np.int64), tolerance
        )
        return _odds(vote.inlier.sum(0)[:, 0], self.agree)

    def doubt(self) -> F64:
        conf = np.where(self.inlier, self.of(self.dets.conf), 0.0).sum(0) / self.carriers
        said = self.dets.conf[self.dets.valid]
        if not said.size or np.ptp(said) <= _SAME:
            return np.full(conf.shape, np.nan)  # a detector that says the same of all says nothing
        return _odds(1 - conf, conf, 0.02)

    def other_side(self) -> F64:
        signs = np.array([side_sign(name) for name in self.points.hands] or [0])
        f, h, _ = self.at
        right = self.dets.right[:, f, h]
        other = np.where(signs[h] > 0, right < 0.5, right > 0.5) & np.isfinite(right)
        share = (other & self.inlier).sum(0) / self.carriers
        return np.where(signs[h] == 0, np.nan, share)

    def groups(self, within: F64) -> dict[str, F64]:
        """Agreement over whole fingers and hands, spread to their keypoints."""
        f, h, k = self.at
        hands = f * self.points.valid.shape[1] + h
        finger = hands * len(self.points.skeleton.groups) + self.points.skeleton.group_index[k]
        against, for_ = self.candidates - self.agree, self.agree
        out = {}
        for name, label in (("finger", finger), ("hand", hands)):
            which = np.unique(label, return_inverse=True)[1]
            a, b = (np.bincount(which, x) for x in (against, for_))
            out[name] = _odds(a, b)[which]
        which, rms = np.unique(hands, return_inverse=True)[1], _rms(within)
        blur = [median_of(rms[which == i]) for i in range(which.max(initial=-1) + 1)]
        out["blur"] = np.log(np.array(blur, np.float64)[which] + _FINE)
        return out

    def anatomy(self) -> dict[str, F64]:
        """Cues of whole hands; NaN for what is no hand."""
        f, h, k = self.at
        names = ("bone", "bend", "swap", "hidden", "reach")
        if not is_hand(self.points.skeleton):
            return {name: np.full(len(f), np.nan) for name in names}
        hands, which = np.unique(np.stack([f, h]), axis=1, return_inverse=True)
        which = which.ravel()
        xyz = self.points.xyz_world[tuple(hands)]
        # the side as the points tell it: whether that is the slot's is another question
        reading = read_shapes(xyz, 0)
        gain = np.clip(reading.finger_gain, -10, 10)
        shadow = hidden_by_itself(self.rig, xyz)[:, which, k]
        return {
            "bone": bone_doubt(xyz)[which, k],
            "bend": bend_doubt(xyz, reading.side)[which, k],
            "swap": gain[which],
            "hidden": (shadow & self.inlier).sum(0) / self.carriers,
            "reach": np.where(k == 0, 0.0, (k - 1) % 4),
        }


# Rejected views agree with one another within this share of the hand: the 4 px of Simon et al.
_NEAR = 0.045


def bone_doubt(xyz: F64) -> F64:
    """Largest deviation of the bones at every keypoint from usual proportions, shape (N, 21)."""
    length = np.linalg.norm(bone_vectors(xyz), axis=-1)
    z = np.abs(np.log(length / hand_scale(xyz)[:, None] / BONE_SHARE)) / BONE_LOG_SD
    return _at_keypoints(z, HAND_BONES)


def bend_doubt(xyz: F64, signs: IntArray) -> F64:
    """Impossible angles at the joints around every keypoint, in tens of degrees, shape (N, 21)."""
    bend, aside = joint_angles(xyz, signs)
    over = beyond_range(bend, aside)[0]
    aside = np.abs(aside)
    aside[:, 0] = 0.0  # the thumb turns freely
    worst = (over + aside).reshape(len(xyz), 15) / 10
    base = 1 + 4 * np.repeat(np.arange(5), 3) + np.tile(np.arange(3), 5)
    return _at_keypoints(worst, np.stack([base, base + 1], axis=1))


def _at_keypoints(values: F64, ends: IntArray) -> F64:
    """Largest value of the lines (N, L) that meet at each keypoint; NaN where none is known."""
    out = np.full((len(values), 21), np.nan)
    for line, pair in enumerate(ends):
        for k in pair:
            out[:, k] = np.fmax(out[:, k], values[:, line])
    return out


def _odds(against: F64 | IntArray, favour: F64 | IntArray, floor: float = 0.5) -> F64:
    return np.asarray(np.log((against + floor) / (favour + floor)))


def heldout_spread(heldout: F64, inlier: BoolArray) -> F64:
    """Root mean square held-out distance (V, N) of the agreeing views, shape (N,)."""
    return _rms(np.where(inlier, heldout, np.nan))


def _rms(within: F64) -> F64:
    known = np.isfinite(within)
    total = np.where(known, within, 0.0) ** 2
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(total.sum(0) / np.where(known.any(0), known.sum(0), np.nan)))
