"""The OpenPose backend, on a network whose answer is known: see `caffe_files.write_dots`."""

from __future__ import annotations

import pickle

import caffe_files as files
import cv2
import numpy as np
import pytest
import yaml

from multiview.errors import InputError, ModelError
from multiview.models.base import Detector, ImageHands
from multiview.models.caffe_to_onnx import convert_openpose
from multiview.models.decode import decode_heatmaps
from multiview.models.load import load_detector
from multiview.models.openpose import average_scales

SIZE, STRIDE = 368, 8
# Decoding a blob of about one map pixel is good to some hundredths of it; the errors that must show
# (a map's corner for its centre 4 px, the crop's middle for the mirror axis 1 px, edge for index
# 0.5 px) are larger.
TOLERANCE_PX = 0.3


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dots")
    return convert_openpose(*files.write_dots(folder), folder / "models").card


@pytest.fixture(scope="module")
def detector(card):
    return load_detector(card)


def hand(blue, side, *, left=False, size_wh=(640, 480)):
    """Picture of a blue and a green dot, as large as one map pixel of a crop of `side`."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    apart = files.APART * STRIDE * side / SIZE * (-1 if left else 1)
    green = blue[0] + apart, blue[1]
    sigma = STRIDE * side / SIZE
    image = np.zeros((*x.shape, 3))
    for channel, (u, v) in enumerate((blue, green)):
        image[..., channel] = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))
    return np.rint(image).astype(np.uint8), np.array([blue] * 10 + [green] * 11)


def error_px(hands, truth):
    assert hands.xy_px.shape == (1, 21, 2)
    return np.linalg.norm(hands.xy_px[0] - truth, axis=1).max()


# in the crop of 368 px: on a map pixel's centre (8 j + 3.5), between two, anywhere
@pytest.mark.parametrize("blue", [(171.5, 203.5), (175.5, 207.5), (168.2, 209.9)])
@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_a_map_pixel_is_where_the_poolings_put_it(card, blue, runtime):
    if runtime == "ort":
        pytest.importorskip("onnxruntime", reason="pip install 'multiview-bootstrapping[ort]'")
    image, truth = hand(blue, SIZE, size_wh=(SIZE, SIZE))
    identity = np.array([[SIZE / 2, SIZE / 2, SIZE, 0.0]])
    hands = load_detector(card, runtime=runtime).detect(image, identity)
    assert error_px(hands, truth) < TOLERANCE_PX
    assert hands.handedness[0] > 0.5
    assert hands.conf.shape == (1, 21)
    assert (hands.conf > 0.5).all()  # so the background's map, 1 everywhere, is no keypoint


def test_the_centre_of_a_map_pixel_is_exact(detector):
    image, _ = hand((171.5, 203.5), SIZE, size_wh=(SIZE, SIZE))
    (maps,) = detector.maps(image, np.array([[SIZE / 2, SIZE / 2, SIZE, 0.0]]))
    assert maps.shape == (21, 46, 46)
    blue = maps[0]
    assert np.unravel_index(blue.argmax(), blue.shape) == (25, 21)  # 8 * 25 + 3.5, 8 * 21 + 3.5
    assert abs(blue[25, 20] - blue[25, 22]) < 0.01
    assert abs(blue[24, 21] - blue[26, 21]) < 0.01


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_max_pooling_has_the_same_geometry(tmp_path, pool):
    card = convert_openpose(*files.write_dots(tmp_path, pool), tmp_path / "models").card
    image, truth = hand((171.5, 203.5), SIZE, size_wh=(SIZE, SIZE))
    hands = load_detector(card).detect(image, np.array([[SIZE / 2, SIZE / 2, SIZE, 0.0]]))
    assert error_px(hands, truth) < TOLERANCE_PX


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("side", [184.0, 368.0, 441.6])
def test_crops_of_any_size_and_side_lead_back_to_the_picture(detector, left, side):
    image, truth = hand((301.3, 222.8), side, left=left)
    roi = np.array([[310.0, 215.0, side, 0.0]])
    hands = detector.detect(image, roi)
    assert error_px(hands, truth) < TOLERANCE_PX * max(side / SIZE, 0.5)
    assert (hands.handedness[0] < 0.5) == left
    (maps,) = detector.maps(image, roi)
    peak = decode_heatmaps(maps[None])[0][0, 0]
    crop = (peak + 0.5) / 46 * SIZE - 0.5
    np.testing.assert_allclose(
        roi[0, :2] + (crop / SIZE - 0.5) * side, truth[0], atol=TOLERANCE_PX * side / SIZE * 2
    )


def test_a_right_hand_read_as_left_scores_half(detector):
    """What lets the better reading win. Columns u and 367 - u mirror: 310 goes to 640 - 310."""
    image, _ = hand((301.3, 222.8), SIZE)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    roi, other = np.array([[310.0, 215.0, SIZE, 0]]), np.array([[330.0, 215.0, SIZE, 0]])
    right, left = detector.detect(image, roi), detector.detect(mirrored, other)
    np.testing.assert_allclose(right.presence, left.presence, rtol=0.02)
    assert 0.6 < right.handedness[0] < 0.75  # 2 : 1
    np.testing.assert_allclose(right.handedness, 1 - left.handedness, atol=0.02)


@pytest.mark.parametrize("left", [False, True])
def test_scales_are_averaged_in_the_crop_of_scale_one(card, left):
    image, truth = hand((301.3, 222.8), SIZE, left=left)
    roi = np.array([[310.0, 215.0, SIZE, 0.0]])
    detector = load_detector(card, scales=(0.8, 1.0, 1.2))
    hands = detector.detect(image, roi)
    # the dots' distance fits the network at scale 1 only, so the blobs are broad
    assert error_px(hands, truth) < 1.5
    np.testing.assert_array_equal(hands.rois, roi)


def gaussian_maps(points_px, scale, sigma=1.2):
    """Maps (1, K, 46, 46) of a crop `scale` times as large, of points in the crop of scale 1."""
    grid = np.arange(46)
    maps = []
    for u, v in (np.asarray(points_px) - SIZE / 2) / scale + SIZE / 2:
        x, y = (u + 0.5) / STRIDE - 0.5, (v + 0.5) / STRIDE - 0.5
        maps.append(
            np.exp(-((grid - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * (sigma / scale) ** 2))
        )
    return np.array(maps, np.float32)[None]


@pytest.mark.parametrize("scales", [(1.0,), (0.8, 1.2), (0.8, 0.9, 1.0, 1.1, 1.2)])
def test_averaging_keeps_positions(scales):
    points = np.array([[171.5, 203.5], [100.2, 250.9], [300.0, 60.0]])
    maps = [gaussian_maps(points, s) for s in scales]
    mean = average_scales(maps, scales, (SIZE, SIZE))
    xy, peak = decode_heatmaps(mean, blur_px=5)
    np.testing.assert_allclose((xy[0] + 0.5) * STRIDE - 0.5, points, atol=0.25)
    assert (peak > 0.8).all()


def test_crops_share_the_centre_of_the_roi_not_of_the_pixels():
    """184, as in `image_from_crop`; with 183.5 a crop of half the size would be off by 0.5 px."""
    points = np.array([[171.5, 203.5], [190.0, 170.0]])
    mean = average_scales([gaussian_maps(points, 0.5)], (0.5,), (SIZE, SIZE))
    xy, _ = decode_heatmaps(mean, blur_px=5)
    np.testing.assert_allclose((xy[0] + 0.5) * STRIDE - 0.5, points, atol=0.15)


def test_what_a_smaller_crop_does_not_show_is_left_to_the_larger():
    corner = np.array([[9.5, 9.5]])
    maps = [gaussian_maps(corner, s) for s in (0.8, 1.0)]
    assert maps[0].max() < 0.1  # beyond the small crop
    mean = average_scales(maps, (0.8, 1.0), (SIZE, SIZE))
    np.testing.assert_allclose(mean[0, 0, :3, :3], maps[1][0, 0, :3, :3], atol=1e-6)


def test_crops_are_upright_squares_of_2_2_boxes(detector):
    xy = np.full((3, 21, 2), np.nan)
    xy[0] = np.random.default_rng(7).uniform(0, 1, (21, 2))
    xy[0, :2] = [[100, 200], [150, 220]]
    xy[0, 2:] = np.array([100, 200]) + xy[0, 2:] * [50, 20]
    xy[1, :11] = xy[0, :11]
    xy[2, :5] = xy[0, :5]
    rois = detector.rois_of(xy)
    np.testing.assert_allclose(rois[0], [125, 210, 110, 0])
    np.testing.assert_allclose(rois[1], [125, 210, 110, 0])  # half the keypoints are enough
    assert np.isnan(rois[2]).all()


def test_a_whole_picture_is_searched_by_the_embedded_detector(card, monkeypatch):
    """Its keypoints give the crop, and its side is believed: one reading a hand."""
    image, truth = hand((301.3, 222.8), SIZE, left=True)
    detector = load_detector(card)
    box = np.array([[310, 215]]) + SIZE / 2.2 * (
        np.random.default_rng(8).uniform(size=(21, 2)) - 0.5
    )
    box[:2] = np.array([310, 215]) + np.array([[-1], [1]]) * SIZE / 4.4
    found = ImageHands(
        xy_px=box[None],
        conf=np.ones((1, 21)),
        handedness=np.array([0.1]),
        presence=np.ones(1),
        rois=np.zeros((1, 4)),
    )
    monkeypatch.setattr("multiview.models.mediapipe.MediaPipeHands.detect", lambda *_: found)
    hands = detector.detect(image)
    np.testing.assert_allclose(hands.rois, [[310, 215, SIZE, 0]])
    np.testing.assert_allclose(detector.propose(image), hands.rois)
    assert error_px(hands, truth) < TOLERANCE_PX
    assert hands.handedness[0] == 0.1


def test_a_picture_without_a_hand_gives_none(detector):
    black = np.zeros((480, 640, 3), np.uint8)
    assert len(detector.detect(black)) == 0
    asked = detector.detect(black, np.array([[320.0, 240, 200, 0], [np.nan] * 4]))
    assert np.isnan(asked.xy_px).all()
    assert (asked.conf == 0).all()


def test_a_batch_gives_what_single_pictures_give(detector):
    pictures = [hand((301.3, 222.8), SIZE, left=left)[0] for left in (False, True)]
    rois = [np.array([[310.0, 215, SIZE, 0]]), np.array([[300.0, 220, 400, 0]])]
    for image, roi, batch in zip(
        pictures, rois, detector.detect_batch(pictures, rois), strict=True
    ):
        np.testing.assert_allclose(batch.xy_px, detector.detect(image, roi).xy_px, atol=1e-3)


def test_it_is_a_detector_and_travels_to_workers(card):
    image, _ = hand((301.3, 222.8), SIZE)
    for options in ({"scales": (0.9, 1.1)}, {"mode": "seed"}):
        detector = load_detector(card, **options)
        assert isinstance(detector, Detector)
        copy = pickle.loads(pickle.dumps(detector))
        rois = None if "mode" in options else np.array([[310.0, 215, SIZE, 0]])
        np.testing.assert_array_equal(
            copy.detect(image, rois).xy_px, detector.detect(image, rois).xy_px
        )


def seed_by_the_post(net, frame):
    """Say the recipe again, from the post: resize, run, arg-max of the enlarged map."""
    height, width = frame.shape[:2]
    net_width = int((width / height * 368) * 8) // 8
    net.setInput(
        cv2.dnn.blobFromImage(
            frame, 1.0 / 255, (net_width, 368), (0, 0, 0), swapRB=False, crop=False
        )
    )
    output = net.forward()
    points, values = [], []
    for k in range(21):
        large = cv2.resize(output[0, k], (width, height))
        _, value, _, point = cv2.minMaxLoc(large)
        points.append(point if value > 0.1 else (np.nan, np.nan))
        values.append(value)
    return np.array(points), np.array(values)


@pytest.mark.parametrize("size_wh", [(640, 480), (333, 401)])
def test_the_seed_mode_is_the_posts_recipe(card, size_wh):
    frame, _ = hand((150.3, 222.8), 368.0, size_wh=size_wh)
    net = cv2.dnn.readNetFromONNX(str(card.with_suffix(".onnx")))
    expected, _ = seed_by_the_post(net, frame)
    hands = load_detector(card, mode="seed").detect(frame)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(hands.xy_px[0], expected)
    assert (hands.xy_px == np.rint(hands.xy_px)).all()
    assert np.isnan(hands.handedness).all()


def test_the_seed_mode_drops_points_by_the_posts_threshold(tmp_path):
    weights = files.dots_weights()
    weights["pick"][1][:] = 0  # the post has no mean: black is 0
    paths = files.write(tmp_path, files.dots_prototxt(), files.caffemodel(weights))
    card = convert_openpose(*paths, tmp_path / "models").card
    seed = load_detector(card, mode="seed")
    assert len(seed.detect(np.zeros((480, 640, 3), np.uint8))) == 0
    image, _ = hand((301.3, 222.8), SIZE)
    image[..., 1] = 0
    faint = np.rint(image * 0.3).astype(
        np.uint8
    )  # half as high without green: 0.15, and a bit less
    hands = seed.detect(faint)
    assert np.isfinite(hands.xy_px).all()
    _, values = seed_by_the_post(cv2.dnn.readNetFromONNX(str(card.with_suffix(".onnx"))), faint)
    np.testing.assert_allclose(hands.conf[0], values, rtol=1e-4)  # 1/256 would be 4e-3 off
    assert len(seed.detect(faint // 2)) == 0


def test_the_seed_mode_takes_whole_pictures_of_usual_shape_only(card):
    seed = load_detector(card, mode="seed")
    with pytest.raises(InputError, match="whole pictures only"):
        seed.detect(np.zeros((48, 64, 3), np.uint8), np.array([[20.0, 20, 20, 0]]))
    for shape in ((10, 30000), (30000, 10)):
        with pytest.raises(InputError, match="wider than high"):
            seed.detect(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "best"}, "choose one of crop, seed"),
        ({"scales": ()}, "one or more numbers"),
        ({"scales": (0.0, 1.0)}, "from 0.5 to 2"),
        ({"scales": (float("nan"),)}, "from 0.5 to 2"),
        ({"min_presence": 2}, "min_presence"),
        ({"runtime": "tf"}, "tf"),
        ({"side": "left"}, "no option side"),
    ],
)
def test_bad_options_are_refused(card, options, words):
    with pytest.raises(InputError, match=words):
        load_detector(card, **options)


def test_a_network_of_other_channels_is_refused(card):
    fields = yaml.safe_load(card.read_text())
    other = card.with_name("other.yaml")
    fields = {**fields, "name": "other", "decoding": {**fields["decoding"], "background": None}}
    other.write_text(yaml.safe_dump(fields))
    with pytest.raises(ModelError, match="22"):
        load_detector(other)
