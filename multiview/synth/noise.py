"""What a 2D detector makes of a hand: noise, gaps, gross errors, confused fingers and hands.

Each kind of error has a truth mask, so that a test can ask how many were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, IntArray, as_f64, check_shapes
from multiview.core import HAND_21, HAND_SLOTS, Detections, Rig
from multiview.errors import InputError

__all__ = ["Observation", "observe", "occluded"]

T = TypeVar("T", bound=np.generic)

# A point is hidden if flesh passes its ray within this and nearer by more than the second: about
# the thickness of a finger. The palm is covered by the lines from the wrist to the knuckles.
FLESH_M = 0.008
NEARER_M = 0.014
SAMPLES_PER_BONE = 3
# Fingers are confused with a neighbour: index-middle, middle-ring, ring-little.
FINGER_PAIRS = np.array([[1, 2], [2, 3], [3, 4]])
# Confidence of good points and of bad ones: the ranges overlap, as a detector's do.
CONF_GOOD = (0.6, 1.0)
CONF_BAD = (0.25, 0.95)
# What a detector says of the side of a hand that it takes for a right one.
RIGHT_SURE = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Detections with the truth behind them; all masks in the order of the detections' slots.

    Parameters
    ----------
    detections
        What the detector reports.
    xy_true_px
        Where the keypoints of the hand really found in each slot are, shape (V, F, H, K, 2).
    hand
        Which hand (position on the H axis of the truth) is in each slot, shape (V, F, H).
    missing, outlier, occluded
        Which points are absent, grossly wrong, hidden, shape (V, F, H, K).
    finger_swapped
        Which points carry another finger's position, shape (V, F, H, K).
    hand_swapped
        Which views mistake left for right, shape (V, F).
    """

    detections: Detections
    xy_true_px: F64
    hand: IntArray
    missing: BoolArray
    outlier: BoolArray
    occluded: BoolArray
    finger_swapped: BoolArray
    hand_swapped: BoolArray


def observe(
    rng: np.random.Generator,
    rig: Rig,
    xyz_world: F64,
    *,
    noise_px: float = 1.0,
    missing: float = 0.0,
    missing_hands: float = 0.0,
    outliers: float = 0.0,
    outlier_px: float = 60.0,
    finger_swaps: float = 0.0,
    hand_swaps: float = 0.0,
    occlusion: float = 1.0,
    ordered: bool = True,
    fps: float = 30.0,
) -> Observation:
    """Invent a detector's output for a take.

    Parameters
    ----------
    rng
        Source of randomness.
    rig
        Cameras; a point outside a picture is missing there.
    xyz_world
        Shape (F, H, 21, 3), metres; H = 1 is a right hand, H = 2 left and right.
    noise_px
        Standard deviation of each coordinate.
    missing, missing_hands, outliers, finger_swaps, hand_swaps
        Share of points, of hands per picture, of points, of hands per picture, of pictures. A swap
        of hands exchanges both slots; of a single hand it only turns ``right`` around.
    outlier_px
        Least distance of a gross error from the truth; the largest is three times that.
    occlusion
        Noise of a point that the hand itself hides, as a multiple of ``noise_px``; 1 leaves
        occlusion out.
    ordered
        Slot h is hand h, as after association; otherwise the slots of every picture are shuffled
        and ``detections.hands`` is empty.
    fps
        Frames a second.

    Returns
    -------
    Observation
        Detections and truth.

    Raises
    ------
    InputError
        If a share is outside [0, 1].
    ShapeError
        If ``xyz_world`` is not (F, H, 21, 3).
    """
    shares = (missing, missing_hands, outliers, finger_swaps, hand_swaps)
    xyz = as_f64(xyz_world, "xyz_world")
    sizes = check_shapes("observe", {"xyz_world": (xyz, "F H 21 3")})
    if not all(0 <= s <= 1 for s in shares) or noise_px < 0 or sizes["H"] not in (1, 2):
        raise InputError(
            f"observe: shares {shares}, noise {noise_px} px, {sizes['H']} hands",
            "give shares within [0, 1], noise of at least 0 and one or two hands",
        )
    xy_true = rig.project(xyz)
    shape = xy_true.shape[:-1]
    hidden = occluded(rig, xyz) if occlusion != 1 else np.zeros(shape, np.bool_)

    xy, outlier, swapped = _measure(
        rng,
        xy_true,
        noise_px * np.where(hidden, occlusion, 1.0),
        outliers,
        outlier_px,
        finger_swaps,
    )
    absent = (rng.random(shape) < missing) | (rng.random(shape[:3]) < missing_hands)[..., None]
    absent |= ~_inside(rig, xy)
    conf = np.where(
        outlier | swapped | (hidden & (occlusion != 1)),
        rng.uniform(*CONF_BAD, shape),
        rng.uniform(*CONF_GOOD, shape),
    )
    slot_hand, hand_swapped = _slots(rng, shape[:3], hand_swaps, ordered)
    xy = np.where(absent[..., None], np.nan, xy)
    right = _right(slot_hand, hand_swapped, ordered)
    absent_slot = _in_slots(absent, slot_hand)
    detections = Detections(
        xy_px=_in_slots(xy, slot_hand),
        conf=np.where(absent_slot, 0.0, _in_slots(conf, slot_hand)),
        camera_names=rig.names,
        frame_ids=np.arange(shape[1]),
        times=np.broadcast_to(np.arange(shape[1]) / fps, shape[:2]),
        skeleton=HAND_21,
        source="multiview.synth",
        right=np.where(absent_slot.all(-1), np.nan, right),
        hands=(HAND_SLOTS if shape[2] == 2 else HAND_SLOTS[1:]) if ordered else (),
    )
    return Observation(
        detections=detections,
        xy_true_px=_in_slots(xy_true, slot_hand),
        hand=slot_hand,
        missing=absent_slot,
        outlier=_in_slots(outlier, slot_hand),
        occluded=_in_slots(hidden, slot_hand),
        finger_swapped=_in_slots(swapped, slot_hand),
        hand_swapped=hand_swapped,
    )


def occluded(rig: Rig, xyz_world: F64) -> BoolArray:
    """Find the keypoints that the hands themselves hide.

    Parameters
    ----------
    rig
        Cameras.
    xyz_world
        Shape (F, H, 21, 3), metres.

    Returns
    -------
    NDArray[bool]
        Shape (V, F, H, 21). Bones are thick lines here, so this is a sketch of a hand's shadow.
    """
    parent, child = np.array(HAND_21.edges).T
    along = ((np.arange(SAMPLES_PER_BONE) + 0.5) / SAMPLES_PER_BONE)[:, None]
    a, b = xyz_world[:, :, parent, None], xyz_world[:, :, child, None]
    flesh = (a + along * (b - a)).reshape(len(xyz_world), 1, 1, -1, 3)
    points = xyz_world[..., None, :]
    views = []
    # one view at a time: the table of all points against all flesh is the large one
    for centre in rig.centres_world:
        ray = points - centre
        length = np.linalg.norm(ray, axis=-1)
        to_flesh = flesh - centre
        depth = (to_flesh * ray).sum(-1) / length
        aside2 = (to_flesh**2).sum(-1) - depth**2
        views.append(((aside2 < FLESH_M**2) & (depth < length - NEARER_M) & (depth > 0)).any(-1))
    return np.stack(views)


def _measure(
    rng: np.random.Generator,
    xy_true: F64,
    sigma_px: F64,
    outliers: float,
    outlier_px: float,
    finger_swaps: float,
) -> tuple[F64, BoolArray, BoolArray]:
    """Noisy points (V, F, H, K, 2), which are gross outliers, which are another finger's."""
    shape = xy_true.shape[:-1]
    xy = xy_true + rng.normal(size=xy_true.shape) * sigma_px[..., None]
    source, swapped = _swap_fingers(rng, shape, finger_swaps)
    xy = np.take_along_axis(xy, source[..., None], axis=3)
    outlier = rng.random(shape) < outliers
    xy = np.where(outlier[..., None], xy_true + _gross(rng, shape, outlier_px), xy)
    # a gross error hides the confusion: a point carries one kind of error
    return xy, outlier, swapped & ~outlier


def _swap_fingers(
    rng: np.random.Generator, shape: tuple[int, ...], share: float
) -> tuple[IntArray, BoolArray]:
    """Which keypoint each one shows, and where that is not itself, shape (V, F, H, K)."""
    pair = FINGER_PAIRS[rng.integers(len(FINGER_PAIRS), size=shape[:3])]
    fingers = np.broadcast_to(np.arange(5), (*shape[:3], 5)).copy()
    swap = rng.random(shape[:3]) < share
    np.put_along_axis(fingers, pair, np.where(swap[..., None], pair[..., ::-1], pair), axis=-1)
    source = np.zeros(shape, np.int64)
    source[..., 1:] = (1 + 4 * fingers[..., None] + np.arange(4)).reshape(*shape[:3], 20)
    return source, source != np.arange(shape[3])


def _gross(rng: np.random.Generator, shape: tuple[int, ...], least_px: float) -> F64:
    angle = rng.uniform(0, 2 * np.pi, shape)
    radius = rng.uniform(least_px, 3 * least_px, shape)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def _inside(rig: Rig, xy_px: F64) -> BoolArray:
    """Whether points (V, ..., 2) lie in their picture; NaN does not."""
    size = np.array([c.intrinsics.size_wh for c in rig.cameras], np.float64)
    size = size.reshape(len(size), *[1] * (xy_px.ndim - 2), 2)
    return np.asarray(((xy_px >= -0.5) & (xy_px < size - 0.5)).all(-1))


def _slots(
    rng: np.random.Generator, shape: tuple[int, ...], share: float, ordered: bool
) -> tuple[IntArray, BoolArray]:
    """Hand in every slot (V, F, H) and the pictures that mistake left for right (V, F)."""
    swapped = rng.random(shape[:2]) < share
    turned = swapped if ordered else rng.random(shape[:2]) < 0.5
    hand = np.broadcast_to(np.arange(shape[2]), shape)
    return np.where(turned[..., None], hand[..., ::-1], hand), swapped


def _right(hand: IntArray, swapped: BoolArray, ordered: bool) -> F64:
    """Probability of a right hand that the detector gives to each slot, shape (V, F, H)."""
    is_right = hand == hand.shape[-1] - 1
    # in ordered slots a swap already shows as the other hand's points under this label
    believed = is_right ^ swapped[..., None]
    return np.where(believed, RIGHT_SURE, 1 - RIGHT_SURE)


def _in_slots(values: NDArray[T], hand: IntArray) -> NDArray[T]:
    """Reorder axis H of (V, F, H, ...) from hands to slots."""
    index = hand.reshape(*hand.shape, *[1] * (values.ndim - hand.ndim))
    return np.take_along_axis(values, index, axis=2)
