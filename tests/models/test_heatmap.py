"""The heatmap backend on a real network with known answers: dots at sub-pixel positions."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from multiview.core import HAND_21
from multiview.errors import InputError, ModelError, ShapeError
from multiview.models import heatmap, keypoint_network
from multiview.models.base import Detector, ImageHands
from multiview.models.load import load_detector

sys.path.insert(0, str(Path(__file__).parent))
from dot_net import dots_card, draw, net, write

APART_PX = 16
# Half of the smallest mistake that there is to find: the wrong grid moves a dot by half a crop
# pixel, a wrong mirror axis by one. 8-bit rounding, bilinear crops (in OpenCV 4 by weights in steps
# of 1/32 px) and blobs that are no Gaussians were seen to cost up to 0.17.
BOUND_PX = 0.25


def spread(count, size_wh, margin=35, seed=0):
    """Draw positions (count, 2), far enough apart that no dot reaches into another's blob."""
    rng, points = np.random.default_rng(seed), []
    while len(points) < count:
        p = rng.uniform(margin, np.array(size_wh) - margin)
        if all(np.hypot(*(p - q)) > APART_PX for q in points):
            points.append(p)
    return np.array(points)


def around(xy, side, angle=0.0):
    return np.array([[*((xy.min(0) + xy.max(0)) / 2), side, angle]])


@pytest.fixture
def xy():
    return spread(21, (170, 170), margin=35)


def found(detector, image, roi):
    hands = detector.detect(image, roi)
    assert len(hands) == 1
    return hands


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
@pytest.mark.parametrize("grid", ["half_pixel", "index"])
@pytest.mark.parametrize("flip", [False, True])
def test_dots_are_found(tmp_path, xy, runtime, grid, flip):
    card = dots_card(tmp_path, grid=grid, size_hw=(128, 128))
    detector = heatmap.from_card(card, runtime=runtime, flip=flip)
    assert isinstance(detector, Detector)
    hands = found(detector, draw(xy, (170, 170)), around(xy, 128))
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX
    assert (hands.conf > 0.5).all()
    assert np.isnan(hands.handedness).all()


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
@pytest.mark.parametrize("flip", [False, True])
def test_simcc_dots_are_found(tmp_path, xy, runtime, flip):
    card = dots_card(tmp_path, grid="index", simcc=True, size_hw=(128, 128))
    detector = heatmap.from_card(card, runtime=runtime, flip=flip)
    hands = found(detector, draw(xy, (170, 170)), around(xy, 128))
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX


@pytest.mark.parametrize("angle", [-2.5, -0.4, 0.7, np.pi / 2])
def test_turned_crops(tmp_path, xy, angle):
    detector = heatmap.from_card(dots_card(tmp_path, size_hw=(160, 160)))
    hands = found(detector, draw(xy, (170, 170)), around(xy, 160, angle))
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX


@pytest.mark.parametrize("size_hw", [(160, 200), (208, 160)])
@pytest.mark.parametrize("simcc", [False, True])
def test_crops_that_are_not_square(tmp_path, xy, size_hw, simcc):
    card = dots_card(tmp_path, size_hw=size_hw, simcc=simcc, grid="index")
    detector = heatmap.from_card(card, flip=True)
    hands = found(detector, draw(xy, (170, 170)), around(xy, 160, 0.3))
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX
    side = 160 // (4 if simcc else 2)
    assert detector.maps(draw(xy, (170, 170)), around(xy, 160)).shape == (1, 21, side, side)


def test_the_roi_is_the_middle_of_the_crop(tmp_path):
    """Of 160 x 200 px the square in the middle, at any turn."""
    network = heatmap.from_card(dots_card(tmp_path, size_hw=(160, 200)))._network
    for angle in (0.0, 0.8):
        cos, sin = np.cos(angle), np.sin(angle)
        up = np.array([[cos, -sin], [sin, cos]]) @ [0, -40]
        there = network.to_image(np.array([50, 60, 80, angle]), np.array([[100.0, 80], [100, 0]]))
        np.testing.assert_allclose(there, [[50, 60], np.add([50, 60], up)])


def test_scaled_crops(tmp_path):
    """A hand of half and of twice the size: the error grows with the crop's pixels."""
    for factor in (0.5, 2.0):
        xy = spread(21, (170, 170), margin=35) * factor
        size = (int(170 * factor),) * 2
        detector = heatmap.from_card(dots_card(tmp_path, size_hw=(128, 128)))
        image = draw(xy, size, radius=5.0 * factor)
        hands = found(detector, image, around(xy, 128 * factor))
        assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX * max(factor, 1)


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_several_crops_at_once(tmp_path, xy, batch, runtime):
    """A network of fixed batch is run crop by crop; rows keep their rois, NaN ones stay NaN."""
    detector = heatmap.from_card(
        dots_card(tmp_path, batch=batch, size_hw=(128, 128)), runtime=runtime
    )
    image = draw(xy, (170, 170))
    rois = np.vstack([around(xy, 128), [[np.nan] * 4], around(xy, 140, 0.2), [[-900, 0, 50, 0]]])
    hands, other = detector.detect_batch([image, np.zeros_like(image)], [rois, rois[:1]])
    for row in (0, 2):
        assert np.abs(hands.xy_px[row] - xy).max() < BOUND_PX
    for row in (1, 3):
        assert np.isnan(hands.xy_px[row]).all()
        assert hands.presence[row] == 0
    assert np.isnan(other.xy_px).all()
    np.testing.assert_array_equal(hands.rois, rois)
    assert detector._network._batches is (batch == "N")


@pytest.mark.parametrize(("background", "count"), [(21, 21), (0, 21), (5, 7), (None, 22)])
def test_background_is_never_a_keypoint(tmp_path, background, count):
    xy = spread(count, (170, 170), margin=35)
    card = dots_card(tmp_path, count=count, background=background, size_hw=(128, 128))
    detector = heatmap.from_card(card)
    assert len(detector.skeleton.keypoints) == count
    hands = found(detector, draw(xy, (170, 170)), around(xy, 128))
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX


def test_order_and_channels(tmp_path, xy):
    order = list(np.random.default_rng(3).permutation(21))
    fields = {"order": [int(i) for i in order]}
    card = dots_card(tmp_path, channels="BGR", size_hw=(128, 128), fields=fields)
    hands = found(heatmap.from_card(card), draw(xy, (170, 170)), around(xy, 128))
    assert np.abs(hands.xy_px[0] - xy[order]).max() < BOUND_PX


@pytest.mark.parametrize("simcc", [False, True])
def test_left_hands_are_mirrored(tmp_path, simcc):
    """The network knows dots in the right half only; a left hand is the mirror image."""
    xy = spread(9, (90, 170), margin=20) + np.array([85, 0])
    card = dots_card(
        tmp_path, count=9, size_hw=(160, 160), right_only=True, simcc=simcc, grid="index"
    )
    detector = heatmap.from_card(card)
    roi = np.array([[85.0, 85.0, 160.0, 0.0]])
    right = found(detector, draw(xy, (200, 170)), roi)
    assert np.abs(right.xy_px[0] - xy).max() < BOUND_PX
    assert right.handedness[0] > 0.5
    mirrored = np.column_stack([170 - xy[:, 0], xy[:, 1]])
    left = found(detector, draw(mirrored, (200, 170)), roi)
    assert np.abs(left.xy_px[0] - mirrored).max() < BOUND_PX
    assert left.handedness[0] < 0.5


def test_proposed_left_hands_are_read_once(tmp_path, monkeypatch):
    """The embedded detector knows the side, so only the mirrored crop is run."""
    xy = spread(21, (170, 170), margin=35)
    card = dots_card(tmp_path, size_hw=(160, 160), right_only=False)
    card = card.model_copy(update={"crop": card.crop.model_copy(update={"mirror_left": True})})
    detector = heatmap.from_card(card)
    proposal = ImageHands(
        xy_px=xy[None],
        conf=np.ones((1, 21)),
        handedness=np.array([0.1]),
        presence=np.ones(1),
        rois=np.zeros((1, 4)),
    )

    class Proposer:
        def detect(self, _):
            return proposal

    monkeypatch.setattr(detector, "_proposer", Proposer)
    runs = []
    cut = keypoint_network.KeypointNetwork.cut
    monkeypatch.setattr(
        keypoint_network.KeypointNetwork,
        "cut",
        lambda self, picture, roi, mirrored: (
            runs.append(mirrored) or cut(self, picture, roi, mirrored)
        ),
    )
    hands = detector.detect(draw(xy, (170, 170)))
    assert runs == [True]
    assert np.abs(hands.xy_px[0] - xy).max() < BOUND_PX
    np.testing.assert_array_equal(hands.handedness, [0.1])
    np.testing.assert_allclose(detector.propose(draw(xy, (170, 170))), detector.rois_of(xy[None]))


def test_a_picture_without_a_hand(tmp_path):
    detector = heatmap.from_card(dots_card(tmp_path))
    image = np.full((120, 160, 3), 90, np.uint8)
    assert len(detector.detect(image)) == 0
    assert detector.propose(image).shape == (0, 4)
    assert detector.detect(image, np.empty((0, 4))).xy_px.shape == (0, 21, 2)
    assert detector.maps(image, np.full((2, 4), np.nan)).shape == (2, 21, 48, 48)
    assert detector.detect_batch([]) == []


def test_maps_peak_at_the_keypoints(tmp_path, xy):
    image, roi = draw(xy, (170, 170)), around(xy, 160, 0.5)
    for simcc in (False, True):
        card = dots_card(tmp_path, simcc=simcc, grid="index", size_hw=(160, 160))
        detector = heatmap.from_card(card)
        maps = detector.maps(image, roi)[0]
        y, x = np.unravel_index(maps.reshape(21, -1).argmax(1), maps.shape[1:])
        scale = 160 / maps.shape[-1]
        uv = (np.column_stack([x, y]) + 0.5) * scale
        there = detector._network.to_image(roi[0], uv)
        assert np.abs(there - xy).max() < 1.5 * scale


def test_crop_rule(tmp_path):
    xy = np.tile(np.linspace(0, 100, 21)[:, None], (1, 2)) * [0.4, 1] + [50, 30]
    detector = heatmap.from_card(dots_card(tmp_path, fields={"crop": {"scale": 2.2}}))
    np.testing.assert_allclose(detector.rois_of(xy[None]), [[70, 80, 220, 0]])
    partly = xy.copy()
    partly[5:9] = np.nan
    np.testing.assert_allclose(detector.rois_of(partly[None]), [[70, 80, 220, 0]])
    partly[:12] = np.nan
    assert np.isnan(detector.rois_of(partly[None])).all()
    assert detector.rois_of(np.empty((0, 21, 2))).shape == (0, 4)
    with pytest.raises(ShapeError, match="rois_of"):
        detector.rois_of(xy)


def test_turned_crop_rule(tmp_path):
    """Fingers up: turning the hand turns the roi and nothing else."""
    detector = heatmap.from_card(dots_card(tmp_path, fields={"crop": {"rotate": True}}))
    xy = spread(21, (170, 170))
    base = detector.rois_of(xy[None])[0]
    for angle in (-1.0, 0.5, 2.0):
        cos, sin = np.cos(angle), np.sin(angle)
        R = np.array([[cos, -sin], [sin, cos]])
        turned = detector.rois_of((xy @ R.T)[None])[0]
        np.testing.assert_allclose(turned[:2], R @ base[:2], atol=1e-9)
        assert turned[2] == pytest.approx(base[2])
        assert np.cos(turned[3] - base[3] - angle) == pytest.approx(1)
    xy[0] = np.nan
    assert np.isnan(detector.rois_of(xy[None])).all()


def test_travels_to_workers(tmp_path, xy):
    detector = heatmap.from_card(dots_card(tmp_path, size_hw=(128, 128)), flip=True)
    again = pickle.loads(pickle.dumps(detector))
    image, roi = draw(xy, (170, 170)), around(xy, 128)
    np.testing.assert_array_equal(again.detect(image, roi).xy_px, detector.detect(image, roi).xy_px)


def test_by_the_path_of_its_card(tmp_path):
    card = dots_card(tmp_path)
    detector = load_detector(tmp_path / "dots.yaml", runtime="ort")
    assert (detector.name, detector.skeleton) == (card.name, HAND_21)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoding": {"background": 3}}, "21 channels.*promises 22"),
        ({"decoding": {"output": ["heat"]}}, "no output heat; it has maps"),
        ({"decoding": {"output": ["maps", "more"]}}, "names 2 outputs, heatmap has 1"),
        ({"decoding": {"kind": "regression"}}, "says regression"),
        ({"decoding": {"blur": 4}}, "blur is 4"),
        ({"decoding": {"kind": "simcc", "output": ["maps", "maps"]}}, "dots.onnx"),
        ({"skeleton": {"name": "x", "keypoints": ["a", "b"]}}, "21 channels.*promises 2"),
        ({"order": list(range(1, 22))}, "at least 22"),
        ({"input": {"size_hw": [64, 64]}}, r"dots.onnx wants image \(free, 3, 96, 96\).*3, 64, 64"),
    ],
)
@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_a_card_that_promises_something_else(tmp_path, fields, message, runtime):
    card = dots_card(tmp_path, fields=fields)
    with pytest.raises(ModelError, match=message):
        heatmap.from_card(card, runtime=runtime)


def test_wrong_simcc_split(tmp_path):
    card = dots_card(tmp_path, simcc=True, fields={"decoding": {"simcc_split": 2.0}})
    with pytest.raises(ModelError, match=r"'x' has shape \(1, 21, 48\).*192 bins"):
        heatmap.from_card(card)


def test_options(tmp_path):
    card = dots_card(tmp_path)
    with pytest.raises(InputError, match="min_presence"):
        heatmap.from_card(card, min_presence=2)
    with pytest.raises(InputError, match="runtime 'tpu'"):
        heatmap.from_card(card, runtime="tpu")
    left = card.model_copy(update={"crop": card.crop.model_copy(update={"mirror_left": True})})
    with pytest.raises(InputError, match="right hands only"):
        heatmap.from_card(left, flip=True)
    two = card.model_copy(update={"weights": {**card.weights, "b": card.weights["net"]}})
    with pytest.raises(ModelError, match="lists 2 network files"):
        heatmap.from_card(two)


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, runtime):
    """OpenCV would make zeros of them, and find no hand anywhere."""
    model = net(21)
    stored = next(i for i in model.graph.initializer if i.name == "w2")
    weights = numpy_helper.to_array(stored).copy()
    weights.flat[3] = np.nan
    stored.CopyFrom(numpy_helper.from_array(weights, "w2"))
    with pytest.raises(ModelError, match="weights that are not finite, in tensor 'w2'"):
        load_detector(write(tmp_path, model), runtime=runtime)
