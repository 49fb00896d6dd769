"""Labels stay on what they name, through every crop and change: a bright dot tells."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn import drawn_hands, tiny

from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.train.augment import augment, centre_crop
from multiview.train.config import AugmentConfig, TrainConfig
from multiview.train.crops import MARGIN, cut_hands
from multiview.train.design import build_design
from multiview.train.hands import TrainingHands

# A dot of 3 px standard deviation is found to some hundredths; JPEG and 8 bits add some more.
FOUND_PX = 0.15
DOT_PX = 3.0


def dotted(right, keypoint=8, rotated=0.4):
    """A hand of which only one keypoint is drawn, as a soft dot."""
    hands, _ = drawn_hands(1, seed=3)
    xy = hands.xy_px[0]
    if bool(right) != bool(hands.right[0]):
        xy = np.stack([159 - xy[:, 0], xy[:, 1]], 1)
    grid = np.mgrid[:160, :160][::-1].transpose(1, 2, 0)
    spot = np.exp(-((grid - xy[keypoint]) ** 2).sum(-1) / (2 * DOT_PX**2))
    picture = np.repeat((255 * spot)[..., None], 3, axis=2).astype(np.uint8)
    one = replace(hands, xy_px=xy[None], right=np.array([float(right)]))
    return one, picture


def dot_of(image):
    values = image[..., 0].astype(float)
    values[values < 20] = 0
    y, x = np.mgrid[: len(values), : values.shape[1]]
    return np.array([(x * values).sum(), (y * values).sum()]) / values.sum()


def designs():
    maps = {"mediapipe": {"head": "maps"}}
    return [tiny(), TrainConfig(), TrainConfig.model_validate(maps)]


@pytest.mark.parametrize("right", [0, 1])
@pytest.mark.parametrize("config", designs(), ids=["cpm", "landmarks", "maps"])
def test_labels_follow_the_crop(config, right):
    hands, picture = dotted(right)
    design = build_design(config)
    crops = cut_hands(hands, lambda _: picture, design)
    assert crops.side == round(MARGIN * design.size_px)
    assert np.abs(dot_of(crops.image(0)) - crops.uv[0, 8]).max() < FOUND_PX
    image, uv = centre_crop(crops.image(0), crops.uv[0], design.size_px)
    assert np.abs(dot_of(image) - uv[8]).max() < FOUND_PX


def test_left_hands_are_shown_mirrored_where_the_network_knows_right_ones():
    design = build_design(tiny())
    for right in (0, 1):
        hands, picture = dotted(right)
        uv = cut_hands(hands, lambda _, p=picture: p, design).uv[0]
        assert uv[4, 0] < uv[20, 0]  # thumb to the left of the little finger
    one, picture = dotted(1)
    unknown = replace(one, right=np.array([np.nan]))
    with pytest.raises(InputError, match="neither left nor right"):
        cut_hands(unknown, lambda _: picture, design)


@pytest.mark.parametrize("seed", range(6))
def test_labels_follow_augmentation(seed):
    hands, picture = dotted(1)
    crops = cut_hands(hands, lambda _: picture, build_design(tiny()))
    plain = {n: 0.0 for n in AugmentConfig.model_fields if n.endswith("_share")} | {"colour": 0.0}
    config = AugmentConfig.model_validate(plain | {"rotate_deg": 60, "scale": 0.3, "shift": 0.1})
    rng = np.random.default_rng(seed)
    image, uv, zoom = augment(crops.image(0), crops.uv[0], 64, config, rng)
    assert np.abs(dot_of(image) - uv[8]).max() < FOUND_PX
    stored, moved = (np.ptp(p, axis=0) for p in (crops.uv[0], uv))
    assert zoom == pytest.approx(np.hypot(*moved) / np.hypot(*stored), rel=0.35)
    spread = [np.linalg.norm(p[8] - p[0]) for p in (crops.uv[0], uv)]
    assert zoom == pytest.approx(spread[1] / spread[0], rel=1e-6)


def test_the_centre_of_a_stored_crop_is_what_detection_sees():
    """The same pixels as the heatmap backend's own crop of the same roi, up to JPEG."""
    from multiview.models._crops import image_from_crop
    from multiview.train.crops import training_rois

    hands, pictures = drawn_hands(1, seed=5)
    picture = cv2.GaussianBlur(next(iter(pictures.values())), (0, 0), 2)
    one = replace(hands, right=np.ones(1))
    design = build_design(tiny())
    crops = cut_hands(one, lambda _: picture, design)
    roi = training_rois(one.xy_px, design.crop, False)[0]
    origin, x, y = image_from_crop(roi, np.array([[0.0, 0], [1, 0], [0, 1]]), 64)
    matrix = np.column_stack([x - origin, y - origin, origin])
    direct = cv2.warpAffine(picture, matrix, (64, 64), flags=cv2.WARP_INVERSE_MAP | 1)
    ours, _ = centre_crop(crops.image(0), crops.uv[0], 64)
    assert np.abs(direct.astype(float) - ours).mean() < 2.0


def test_the_same_generator_makes_the_same_crop():
    hands, pictures = drawn_hands(2)
    crops = cut_hands(hands, pictures.__getitem__, build_design(tiny()))
    config = AugmentConfig.model_validate(
        {n: 1.0 for n in AugmentConfig.model_fields if n.endswith("_share")}
    )
    made = [
        augment(crops.image(0), crops.uv[0], 64, config, np.random.default_rng(s))
        for s in (1, 1, 2)
    ]
    assert np.array_equal(made[0][0], made[1][0])
    assert np.array_equal(made[0][1], made[1][1])
    assert not np.array_equal(made[0][0], made[2][0])


def test_hands_without_enough_labels_are_left_out():
    hands, pictures = drawn_hands(4)
    weight = hands.weight.copy()
    weight[1, 5:] = 0
    crops = cut_hands(replace(hands, weight=weight), pictures.__getitem__, build_design(tiny()))
    assert len(crops) == 3
    none = replace(hands, weight=np.zeros((4, 21)))
    with pytest.raises(InputError, match="none of 4 hands"):
        cut_hands(none, pictures.__getitem__, build_design(tiny()))


def test_crops_without_a_hand_show_none():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 50, (600, 800, 3)).astype(np.uint8)
    hands, _ = drawn_hands(6, seed=1)
    xy = hands.xy_px + 150
    for point in xy.reshape(-1, 2):
        cv2.circle(picture, np.rint(point).astype(int).tolist(), 3, (255, 255, 255), -1)
    same = TrainingHands(
        picture=tuple(f"p{n}" for n in range(6)),
        xy_px=xy,
        weight=hands.weight,
        sigma_px=hands.sigma_px,
        right=hands.right,
        session=hands.session,
        start=hands.start,
        keypoints=HAND_21.keypoints,
    )
    crops = cut_hands(same, lambda _: picture, build_design(TrainConfig()), negatives=4)
    empty = np.flatnonzero(~crops.hand)
    assert len(empty) == 4
    assert len(crops) == 10
    for n in empty:
        inner, _ = centre_crop(crops.image(n), np.zeros((1, 2)), 224)
        assert inner.max() < 120  # no white dot
        assert crops.weight[n].sum() == 0


def test_a_label_is_as_uncertain_in_the_crop_as_in_the_picture():
    hands, pictures = drawn_hands(2)
    vague = replace(hands, sigma_px=np.full((2, 21), 4.0))
    crops = cut_hands(vague, pictures.__getitem__, build_design(tiny()))
    for n in range(2):  # both grow as the distance of two keypoints does
        zoom = np.linalg.norm(crops.uv[n, 8] - crops.uv[n, 0])
        zoom /= np.linalg.norm(hands.xy_px[n, 8] - hands.xy_px[n, 0])
        assert crops.sigma[n] == pytest.approx(4.0 * zoom)
    unknown = replace(hands, sigma_px=np.full((2, 21), np.nan))
    crops = cut_hands(unknown, pictures.__getitem__, build_design(tiny()))
    assert (crops.sigma == 0).all()
