"""The detector: what it returns for hands, for none, for given crops and for wrong input."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.errors import InputError, ModelError, ShapeError
from multiview.models import Detector, ImageHands, MediaPipeHands, load_detector, next_rois
from multiview.models._crops import image_from_crop, letterbox, overlap, sample
from multiview.models.card import DATA, load_card
from multiview.models.mediapipe_palm import anchors, distinct, find_palms, suppress

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
# Same pixels, same network: only the last bits of float32 may differ.
SAME_PX = 1e-3


@pytest.fixture(scope="module")
def lite():
    return load_detector("mediapipe-lite")


@pytest.fixture(scope="module")
def full():
    return load_detector()


@pytest.fixture(scope="module")
def photo():
    image = cv2.imread(str(PHOTOS / "2021-02-01_13-52-53_532.jpg"))
    assert image is not None
    return image


def test_one_hand_is_complete_and_sane(full, photo):
    hands = full.detect(photo)
    assert isinstance(full, Detector)
    assert full.name == "mediapipe-full"
    assert full.skeleton is HAND_21
    assert len(hands) == 1
    assert hands.xy_px.shape == (1, 21, 2)
    assert hands.conf.shape == hands.z_rel.shape == (1, 21)
    assert full.calibrated
    assert np.all((hands.conf > 0) & (hands.conf < 1))
    assert np.ptp(hands.conf) > 0.01  # each keypoint its own
    assert hands.presence[0] > 0.5
    height, width = photo.shape[:2]
    assert np.all((hands.xy_px >= 0) & (hands.xy_px < [width, height]))
    assert not hands.xy_px.flags.writeable


@pytest.mark.parametrize("kind", ["noise", "gradient", "black", "one", "wide", "tall"])
def test_no_hand_where_there_is_none(lite, kind):
    rng = np.random.default_rng(0)
    ramp = np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))
    image = {
        "noise": rng.integers(0, 256, (240, 320, 3), dtype=np.uint8),
        "gradient": ramp,
        "black": np.zeros((200, 200, 3), np.uint8),
        "one": np.full((1, 1, 3), 128, np.uint8),
        "wide": rng.integers(0, 256, (3, 9000, 3), dtype=np.uint8),
        "tall": rng.integers(0, 256, (9000, 3, 3), dtype=np.uint8),
    }[kind]
    hands = lite.detect(image)
    assert len(hands) == 0
    assert hands.xy_px.shape == (0, 21, 2)
    assert next_rois(hands.xy_px).shape == (0, 4)


def test_grey_and_alpha(lite, photo):
    grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    as_colour = lite.detect(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    assert len(as_colour) == 1
    for image in (grey, grey[..., None]):
        np.testing.assert_array_equal(lite.detect(image).xy_px, as_colour.xy_px)
    alpha = cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA)
    alpha[..., 3] = 7
    np.testing.assert_array_equal(lite.detect(alpha).xy_px, lite.detect(photo).xy_px)


def test_views_of_memory_are_fine(lite, photo):
    padded = np.zeros((photo.shape[0], photo.shape[1] * 2, 3), np.uint8)
    padded[:, ::2] = photo
    np.testing.assert_array_equal(lite.detect(padded[:, ::2]).xy_px, lite.detect(photo).xy_px)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "NoneType"),
        ("a.jpg", "str"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((4,), np.uint8), r"\(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((1, 32767, 3), np.uint8), "32766"),
    ],
)
def test_images_that_cannot_be_used(lite, image, words):
    with pytest.raises(InputError, match=words):
        lite.detect(image)


@pytest.mark.parametrize("rois", [[[1, 2, 3]], [[1, 2, 0, 0]], [[1, 2, -5, 0]], "x"])
def test_rois_that_cannot_be_used(lite, photo, rois):
    with pytest.raises(InputError):
        lite.detect(photo, rois)


def test_given_rois_equal_found_rois(lite, photo):
    found = lite.detect(photo)
    again = lite.detect(photo, found.rois)
    for name in ("xy_px", "conf", "handedness", "presence", "rois", "z_rel"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_rois_keep_their_rows(lite, photo):
    good = lite.detect(photo).rois[0]
    empty = [5.0, 450.0, 12.0, 0.0]
    hands = lite.detect(photo, np.array([empty, good, [np.nan] * 4, good]))
    np.testing.assert_array_equal(np.isfinite(hands.xy_px[:, 0, 0]), [False, True, False, True])
    np.testing.assert_array_equal(hands.conf[:, 0] > 0, [False, True, False, True])
    assert np.isnan(hands.handedness[[0, 2]]).all()
    assert np.isnan(hands.z_rel[[0, 2]]).all()
    assert hands.presence[2] == 0
    assert len(lite.detect(photo, np.empty((0, 4)))) == 0


def test_a_second_look_finds_the_same_hand(full, photo):
    first = full.detect(photo)
    second = full.detect(photo, next_rois(first.xy_px))
    size = np.ptp(first.xy_px[0], axis=0).max()
    assert np.median(np.linalg.norm(second.xy_px - first.xy_px, axis=2)) < 0.05 * size


def test_a_shifted_photo_gives_shifted_hands(lite, photo):
    # Both crops are cut where the hand is, so only the palm network's letterbox differs.
    rois = lite.detect(photo).rois
    moved = cv2.copyMakeBorder(photo, 40, 0, 25, 0, cv2.BORDER_REPLICATE)
    hands = lite.detect(moved, rois + np.array([25, 40, 0, 0]))
    expected = lite.detect(photo, rois).xy_px + np.array([25, 40])
    np.testing.assert_allclose(hands.xy_px, expected, atol=SAME_PX)


def test_two_hands_side_by_side(full, photo):
    both = np.hstack([photo, photo[:, ::-1]])
    single = full.detect(photo)
    hands = full.detect(both)
    assert len(hands) == 2
    assert np.all(np.diff(hands.presence) <= 0)
    left, right = np.argsort(hands.xy_px[:, 0, 0])
    width, size = photo.shape[1], np.ptp(single.xy_px[0], axis=0).max()
    assert np.median(np.abs(hands.xy_px[left] - single.xy_px[0])) < 0.05 * size
    # a mirrored hand is one of the other side
    assert (hands.handedness[left] > 0.5) == (single.handedness[0] > 0.5)
    assert (hands.handedness[left] > 0.5) != (hands.handedness[right] > 0.5)
    assert np.all(hands.xy_px[right][:, 0] > width)
    assert len(load_detector(max_hands=1).detect(both)) == 1


def test_the_side_is_anatomical(full, photo):
    # the committed photo shows a left hand: its table says "Right", named for a mirrored image
    assert full.detect(photo).handedness[0] < 0.5


def test_thresholds_are_used(photo):
    assert len(load_detector("mediapipe-lite", min_score=1.0).detect(photo)) == 0
    assert len(load_detector("mediapipe-lite", min_presence=1.0).detect(photo)) == 0


def test_a_batch_is_its_images(lite, photo):
    blank = np.zeros((50, 60, 3), np.uint8)
    first, second = lite.detect_batch([photo, blank])
    np.testing.assert_array_equal(first.xy_px, lite.detect(photo).xy_px)
    assert len(second) == 0
    guided = lite.detect_batch([photo, photo], [first.rois, None])
    np.testing.assert_array_equal(guided[0].xy_px, guided[1].xy_px)
    with pytest.raises(InputError, match="2 images"):
        lite.detect_batch([photo, photo], [None])


def test_a_detector_travels_to_workers(photo):
    detector = MediaPipeHands(load_card("mediapipe-lite"), max_hands=3)
    twin = pickle.loads(pickle.dumps(detector))
    assert (twin.name, twin.max_hands) == (detector.name, 3)
    np.testing.assert_array_equal(twin.detect(photo).xy_px, detector.detect(photo).xy_px)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("posenet", {}),
        ("hand", {"size": 3}),
        ("hand", {"max_hands": 0}),
        ("hand", {"min_score": 1.5}),
        ("hand", {"min_presence": float("nan")}),
    ],
)
def test_names_and_options_are_checked(name, options):
    with pytest.raises(InputError):
        load_detector(name, **options)


def test_a_missing_network_is_a_model_error(tmp_path, monkeypatch):
    card = tmp_path / "mediapipe-lite.yaml"
    shutil.copy(DATA / card.name, card)
    with pytest.raises(ModelError, match=r"palm_detection_lite\.onnx cannot be read"):
        load_detector(card)


def test_image_hands_checks_shapes():
    with pytest.raises(ShapeError, match="conf"):
        ImageHands(
            xy_px=np.zeros((1, 21, 2)),
            conf=np.zeros((2, 21)),
            handedness=np.zeros(1),
            presence=np.zeros(1),
            rois=np.zeros((1, 4)),
        )


def test_next_rois_wants_hands():
    with pytest.raises(InputError, match=r"\(1, 5, 2\)"):
        next_rois(np.zeros((1, 5, 2)))


def test_next_rois_without_a_finger_tip_and_without_a_palm():
    xy = np.random.default_rng(0).uniform(0, 100, (3, 21, 2))
    tip, palm = xy.copy(), xy.copy()
    tip[0, 8], palm[0, 5] = np.nan, np.nan
    np.testing.assert_array_equal(next_rois(tip), next_rois(xy))
    assert np.isnan(next_rois(palm)[0]).all()
    np.testing.assert_array_equal(next_rois(palm)[1:], next_rois(xy)[1:])


def test_next_rois_by_hand():
    # A hand drawn straight up: wrist (0, 100), knuckles at y = 0, middle joints at y = -40. The
    # middle joints are bent sideways: MediaPipe turns by the knuckles.
    xy = np.zeros((21, 2))
    xy[0] = [0, 100]
    for finger, x in zip((1, 5, 9, 13, 17), (-40, -20, 0, 20, 40), strict=True):
        xy[finger : finger + 4] = [[x, 0], [x + 15, -40], [x + 15, -70], [x + 15, -90]]
    xy[1:4] = [-40, 50]
    # box x -40..55, y -40..100: height 140, centre (7.5, 30), moved up by 0.1, twice the height
    expected = [[307.5, 200 + 30 - 14, 280, 0]]
    np.testing.assert_allclose(next_rois(xy[None] + np.array([300, 200])), expected, atol=1e-9)


def test_next_rois_is_mediapipes_rule():
    # mediapipe 0.10.21, stream HAND_ROIS_FROM_LANDMARKS, for the keypoints in the table
    rows = (PHOTOS / "mediapipe_0.10.21.csv").read_text().splitlines()
    (row,) = (r.split(",") for r in rows if r.startswith("full,2021-02-01_13-52-53_532.jpg,"))
    xy = np.array(row[7:], float).reshape(21, 2)
    np.testing.assert_allclose(
        next_rois(xy[None]), [[120.031, 244.188, 433.703, -2.64265]], atol=2e-3
    )


class FixedNet:
    """A palm network that always gives the same answer."""

    batch = 1

    def __init__(self, raw, logits):
        self.answer = raw[None], logits[None, :, None]

    def __call__(self, _):
        """Take no notice of the image."""
        return dict(zip(("boxes", "scores"), self.answer, strict=True))


def test_palms_of_one_hand_give_one_crop():
    # Palm boxes overlap by 0.18, too little to be averaged; their crops by 0.57: one hand.
    raw, logits = np.zeros((2016, 18)), np.full(2016, -9.0)
    for row, (x, score) in enumerate([(0.40, 3.0), (0.47, 2.0), (0.8, 1.0)]):
        box = np.concatenate([[x, 0.5] - anchors()[row], [0.1, 0.1]])
        points = np.tile([x, 0.5] - anchors()[row], (7, 1))
        points[2, 1] -= 0.05
        raw[row], logits[row] = np.concatenate([box, points.ravel()]) * 192, score
    image = np.zeros((1000, 1000, 3), np.uint8)
    (rois,) = find_palms(FixedNet(raw, logits), [image], 3, 0.5)
    np.testing.assert_allclose(rois, [[470, 450, 260, 0], [800, 450, 260, 0]], atol=1e-6)
    assert len(find_palms(FixedNet(raw, logits), [image], 1, 0.5)[0]) == 1
    assert len(find_palms(FixedNet(raw, logits), [image], 3, 0.8)[0]) == 1


def test_the_identity_crop_is_the_image():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    roi = letterbox(64, 64)
    np.testing.assert_array_equal(sample(image, roi, 64, cv2.BORDER_REPLICATE), image)
    np.testing.assert_allclose(image_from_crop(roi, np.array([[3.0, 5.0]]), 64), [[3, 5]])


def test_a_turned_crop_turns_the_image():
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    crop = sample(image, np.array([32, 32, 64, np.pi / 2]), 64, cv2.BORDER_CONSTANT)
    # crop (u, v) shows image (64 - v, u): row 0 is off the image
    np.testing.assert_array_equal(crop[1:], np.rot90(image)[:-1])
    assert not crop[0].any()


def test_anchors_and_overlap():
    assert anchors().shape == (2016, 2)
    np.testing.assert_allclose(
        anchors()[[0, 1, 2, 1152]], np.array([[1, 1], [1, 1], [3, 1], [2, 2]]) / 48
    )
    a = np.array([0.0, 0, 2, 2])
    np.testing.assert_allclose(overlap(a, np.array([1.0, 1, 3, 3])), 1 / 7)
    assert overlap(a, np.array([5.0, 5, 6, 6])) == 0
    assert overlap(np.zeros(4), np.zeros(4)) == 0


def test_suppression_averages_what_overlaps():
    palm = np.concatenate([[[0.1, 0.1], [0.3, 0.3]], np.full((7, 2), 0.2)])
    palms = np.stack([palm + 0.5, palm, palm + 0.01])
    scores, means = suppress(np.array([0.7, 0.6, 0.9]), palms)
    np.testing.assert_allclose(scores, [0.9, 0.7])
    np.testing.assert_allclose(means[0], palm + 0.01 * 0.9 / 1.5)
    np.testing.assert_allclose(means[1], palm + 0.5)
    assert suppress(np.empty(0), np.empty((0, 9, 2)))[1].shape == (0, 9, 2)


def test_crops_of_one_hand_are_one():
    rois = np.array([[50.0, 50, 40, 0], [200, 50, 40, 1], [54, 50, 40, 2]])
    np.testing.assert_array_equal(distinct(rois), [1, 2])
