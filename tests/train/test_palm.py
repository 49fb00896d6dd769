"""Palms: what anchors should answer, pictures with their hands, and the score."""

import numpy as np
import pytest
from drawn import drawn_hands, hand

from multiview.errors import InputError
from multiview.models._crops import roi_of_box
from multiview.models.mediapipe_palm import INPUT_SIZE, decode, suppress
from multiview.train.batches import Order
from multiview.train.config import AugmentConfig, PalmConfig, TrainConfig
from multiview.train.design import build_design
from multiview.train.palm import SIZES, anchor_sizes, match_anchors, palms_of, wanted_boxes
from multiview.train.pictures import (
    palm_batch,
    picture_batches,
    plain_inputs,
    store_pictures,
    vary_picture,
)

STILL = {"rotate_deg": 0, "scale": 0, "shift": 0, "colour": 0, "blur_share": 0, "noise_share": 0}
STILL |= {"jpeg_share": 0, "grey_share": 0, "occlude_share": 0}


def hands_at(*places, seed=0):
    """Keypoints (H, 21, 2) of hands: centre, length, angle."""
    rng = np.random.default_rng(seed)
    return np.stack([hand((x, y), length, angle, True, rng) for x, y, length, angle in places])


def answered(palms):
    """Network outputs of anchors that answer as they should, and no others."""
    rows, _ = match_anchors(palms)
    raw, logits = np.zeros((2016, 18)), np.full(2016, -9.0)
    at = np.flatnonzero(rows >= 0)
    raw[at], logits[at] = wanted_boxes(palms, rows[at], at), 9.0
    return raw, logits


def test_what_anchors_should_answer_is_what_detection_reads():
    palms = palms_of(hands_at((50, 60, 60, 0.4), (140, 110, 90, 2.5), (40, 160, 30, -1)))
    scores, found = suppress(*decode(*answered(palms), 0.5))
    assert len(scores) == 3
    for palm in palms:
        apart = np.abs(found * INPUT_SIZE - palm).max((1, 2))
        assert apart.min() < 1e-9


def test_palms_are_answered_by_anchors_of_their_size():
    kinds = {}
    for length in (20, 60, 160, 400):
        palms = palms_of(hands_at((96, 96, length, 0.0)))
        rows, near = match_anchors(palms)
        kinds[length] = set(anchor_sizes()[rows == 0])
        assert not ((rows >= 0) & (near >= 0)).any()
    assert kinds[20] == {SIZES[0]}
    assert SIZES[0] not in kinds[160]
    assert kinds[400] == set(SIZES[-3:])


@pytest.mark.parametrize("away", [(0, 0), (3.9, 3.9), (7.9, 0), (8, 8)])
def test_every_palm_is_answered_wherever_it_lies(away):
    for length in np.geomspace(10, 400, 30):
        palms = palms_of(hands_at((96 + away[0], 96 + away[1], length, 0.3)))
        assert (match_anchors(palms)[0] == 0).any()


def test_a_palm_among_others_is_answered_too():
    """Every anchor near the last one is nearer to another palm."""
    palms = np.zeros((5, 9, 2))
    centres = 96.0 + np.array([(-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)])
    palms[:, 0], palms[:, 1] = centres - SIZES[0] / 2, centres + SIZES[0] / 2
    assert (match_anchors(palms)[0] == 4).any()


def test_a_missing_keypoint_is_no_palm_and_no_background():
    xy = hands_at((60, 60, 60, 0.0), (140, 140, 60, 0.0))
    whole = palm_batch(np.zeros((1, 3, 192, 192), np.float32), [xy])
    xy[1, 17] = np.nan
    part = palm_batch(np.zeros((1, 3, 192, 192), np.float32), [xy])
    assert len(part.anchor) < len(whole.anchor)
    of_second = set(whole.anchor) - set(part.anchor)
    assert of_second
    assert not part.silent[0, list(of_second)].any()
    assert not part.silent[0, part.anchor].any()
    assert part.silent[0].mean() > 0.6


def test_hands_that_leave_the_picture_are_left_alone():
    xy = hands_at((-5, 96, 60, 0.0), (120, 96, 4, 0.0))
    batch = palm_batch(np.zeros((1, 3, 192, 192), np.float32), [xy])
    assert not len(batch.anchor)
    assert batch.box.shape == (0, 18)
    assert not batch.silent.all()


def test_labels_move_with_the_picture():
    """A dot drawn at a keypoint is where the keypoint is said to be."""
    image = np.zeros((288, 288, 3), np.uint8)
    xy = np.full((1, 21, 2), np.nan)
    xy[0, 0] = 170, 130
    image[128:133, 168:173] = 255
    config, seen = PalmConfig(scale=0.4), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, moved = vary_picture(image, xy, config, AugmentConfig(**STILL), rng)
        assert view.shape == (INPUT_SIZE, INPUT_SIZE, 3)
        if (moved[0, 0] > 5).all() and (moved[0, 0] < INPUT_SIZE - 6).all():
            weight = view[..., 0] / view[..., 0].sum()
            y, x = (weight * np.indices(weight.shape)).sum((1, 2))
            assert np.hypot(x - moved[0, 0, 0], y - moved[0, 0, 1]) < 0.6
            seen += 1
    assert seen > 10


def test_pictures_are_read_once_with_all_their_hands():
    hands, pictures = drawn_hands(6)
    names = ("a.png",) * 2 + hands.picture[2:]
    from dataclasses import replace

    hands = replace(hands, picture=names, start=np.arange(6) == 1)
    asked = []

    def read(name):
        asked.append(name)
        return pictures.get(name, next(iter(pictures.values())))

    stored = store_pictures(hands, read)
    assert asked == ["a.png", *names[2:]]
    assert [len(xy) for xy in stored.xy] == [2, 1, 1, 1, 1]
    assert stored.start.tolist() == [True, False, False, False, False]
    assert (len(stored), stored.hands, stored.side) == (5, 6, 288)


def test_plain_pictures_are_those_of_detection():
    hands, pictures = drawn_hands(3)
    stored = store_pictures(hands, pictures.__getitem__, enlarged=1.0)
    spec = build_design(TrainConfig(arch="palm")).input
    (image, points), *rest = plain_inputs(stored, spec, 2)
    assert image.shape == (2, 3, 192, 192)
    assert len(rest) == 1
    assert image.max() <= 1
    scale = 192 / 160  # drawn pictures are 160 px wide
    assert np.abs(points[0][0] - hands.xy_px[0] * scale).max() < 1e-9


def test_batches_depend_on_the_step_alone():
    hands, pictures = drawn_hands(6)
    stored = store_pictures(hands, pictures.__getitem__)
    config = TrainConfig(arch="palm", batch=4, steps=4)
    spec = build_design(config).input
    order = Order(stored, config)
    all_of_them = list(picture_batches(stored, order, spec, config, range(4)))
    last = list(picture_batches(stored, order, spec, config, range(3, 4)))
    assert np.array_equal(all_of_them[3].image, last[0].image)
    assert np.array_equal(all_of_them[3].box, last[0].box)
    assert not np.array_equal(all_of_them[2].image, last[0].image)


def test_hands_without_a_whole_palm_cannot_be_learnt():
    hands, pictures = drawn_hands(3)
    from dataclasses import replace

    weight = hands.weight.copy()
    weight[:, 5] = 0
    with pytest.raises(InputError, match="none of 3 hands has a whole labelled palm"):
        store_pictures(replace(hands, weight=weight), pictures.__getitem__)


def test_other_skeletons_have_no_palm():
    with pytest.raises(InputError, match="the labels have 17"):
        build_design(TrainConfig(arch="palm"), 17)


torch = pytest.importorskip("torch", reason="torch is not installed: make test-train")

from multiview.train.loop import Trainer  # noqa: E402
from multiview.train.palm_loss import palm_loss  # noqa: E402
from multiview.train.palm_score import count_palms, fits, found_palms  # noqa: E402


def outputs(raw, logits):
    return [torch.tensor(raw[None]).float(), torch.tensor(logits[None, :, None]).float()]


def test_the_loss_is_least_where_all_is_said():
    xy = hands_at((60, 60, 60, 0.0))
    batch = palm_batch(np.zeros((1, 3, 192, 192), np.float32), [xy])
    raw, logits = answered(palms_of(xy))
    still = outputs(np.zeros((2016, 18)), np.full(2016, -9.0))
    right = float(palm_loss(outputs(raw, logits), still, batch, 1.0))
    silent = float(palm_loss(outputs(raw, np.full(2016, -9.0)), still, batch, 1.0))
    moved = float(palm_loss(outputs(raw + 3.0, logits), still, batch, 1.0))
    assert right < 1e-3
    assert silent > 5
    assert moved > right + 0.1


@pytest.mark.parametrize(("keep", "sign"), [(1.0, 0), (0.0, 1)])
def test_what_nobody_labelled_stays_or_goes(keep, sign):
    """Another hand that the original sees: kept as it is, or learnt to be none."""
    xy = hands_at((50, 50, 60, 0.0))
    other = palms_of(hands_at((140, 140, 60, 0.0)))
    batch = palm_batch(np.zeros((1, 3, 192, 192), np.float32), [xy])
    old = outputs(*answered(other))
    found = [value.clone().requires_grad_() for value in old]
    palm_loss(found, old, batch, keep).backward()
    at = np.flatnonzero(match_anchors(other)[0] >= 0)
    slope = found[1].grad[0, at, 0].numpy()
    assert (np.abs(slope) < 1e-6).all() if sign == 0 else (slope > 1e-3).all()
    box = found[0].grad[0, at].abs().max()
    assert float(box) == 0


def test_the_score_counts_hands_and_false_palms():
    good = np.array([[50.0, 50, 40, 0.0]])
    wrong = good + np.array([100, 0, 0, 0])
    pairs = [
        (np.array([0.9, 0.8]), np.concatenate([good, wrong]), good),
        (np.array([0.6]), good, good),
        (np.zeros(0), np.zeros((0, 4)), good),
    ]
    free = count_palms(pairs, 1.0)
    assert (free.found, free.threshold) == (pytest.approx(2 / 3), 0.5)
    assert free.false_palms == pytest.approx(1 / 3)
    strict = count_palms(pairs, 0.1)
    assert strict.found == pytest.approx(1 / 3)
    assert strict.threshold > 0.8
    assert strict.found_as_run == free.found
    assert free.rank > strict.rank


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ((0, 0, 0, 0), True),
        ((9, 0, 0, 0), True),
        ((11, 0, 0, 0), False),
        ((0, 0, 23, 0), True),
        ((0, 0, 25, 0), False),
        ((0, 0, 0, 0.7), True),
        ((0, 0, 0, 0.9), False),
        ((0, 0, 0, 2 * np.pi), True),
    ],
)
def test_crops_fit_within_what_the_landmark_network_bears(change, same):
    roi = np.array([[50.0, 50, 40, 3.0]])
    assert fits(roi + np.array(change), roi).item() is same


def test_palms_are_found_as_in_detection():
    palms = palms_of(hands_at((96, 96, 80, 0.0)))
    scores, rois = found_palms(*answered(palms))
    side = palms[0, 1, 0] - palms[0, 0, 0]
    assert scores[0] > 0.99
    wanted = roi_of_box(np.array([*palms[0, :2].mean(0), side, side]), rois[0, 3], -0.5, 2.6)
    assert np.abs(rois[0] - wanted).max() < 1e-6


def trainer(**given):
    hands, pictures = drawn_hands(8)
    values = {"palm": {"network": "mediapipe-lite"}, "steps": 4, "batch": 2, "validate_every": 2}
    config = TrainConfig(arch="palm", threads=1, device="cpu", **(values | given))
    parts = [
        store_pictures(hands.take(np.arange(*r)), pictures.__getitem__, enlarged=e)
        for r, e in (((0, 6), 1.5), ((6, 8), 1.0))
    ]
    return Trainer(build_design(config), config, *parts, "key")


def test_a_training_taken_up_again_ends_as_the_uninterrupted_one():
    whole = trainer().run(lambda state: None, lambda *given: None)

    class Stop(Exception):
        pass

    def report(step, steps, loss, score):
        if step == 3:
            raise Stop

    first, second = trainer(), trainer()
    with pytest.raises(Stop):
        first.run(lambda state: None, report)
    assert second.restore(first.state(), "checkpoint") == 3
    rest = second.run(lambda state: None, lambda *given: None)
    assert all(np.array_equal(rest.tensors[n], whole.tensors[n]) for n in whole.tensors)
    assert rest.history == whole.history


def test_weights_move_at_the_networks_own_rate():
    """The first step of Adam moves a weight by the learning rate at most."""
    moved = {}
    for rate in (0.1, 0.5):
        palm = {"network": "mediapipe-lite", "rate": rate}
        new = trainer(palm=palm, steps=1, warmup=0, weight_decay=0)
        before = {n: t.clone() for n, t in new._net.named_tensors().items()}
        new.run(lambda state: None, lambda *given: None)
        after = new._net.named_tensors()
        moved[rate] = max(float((after[n] - before[n]).abs().max()) for n in before)
    assert moved[0.1] == pytest.approx(1e-3 * 0.3 * 0.1, rel=0.05)
    assert moved[0.5] == pytest.approx(1e-3 * 0.3 * 0.5, rel=0.05)
