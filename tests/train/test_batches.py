from collections import Counter

import numpy as np
import pytest
from drawn import drawn_hands, tiny

from multiview.train.batches import Order, plain_batches, training_batches
from multiview.train.crops import cut_hands
from multiview.train.design import build_design


@pytest.fixture(scope="module")
def crops():
    hands, pictures = drawn_hands(20, start=4)
    return cut_hands(hands, pictures.__getitem__, build_design(tiny()))


def test_every_hand_comes_once_an_epoch(crops):
    order = Order(crops, tiny(batch=8))
    rows = [pair for step in range(5) for pair in order.rows(step)]  # 40 draws: two epochs
    assert Counter(rows) == {(row, epoch): 1 for row in range(20) for epoch in (0, 1)}
    first, second = ([r for r, e in rows if e == epoch] for epoch in (0, 1))
    assert first != second


def test_a_batch_keeps_its_share_of_the_start_set(crops):
    order = Order(crops, tiny(batch=8, start_share=0.25))
    for step in range(10):
        rows = [row for row, _ in order.rows(step)]
        assert crops.start[rows].sum() == 2
        assert len(rows) == 8
    plain = Order(crops, tiny(batch=8))
    taken = [row for step in range(5) for row, _ in plain.rows(step)]
    assert crops.start[taken].mean() == 0.2


def test_batches_depend_on_their_step_alone(crops):
    config, design = tiny(), build_design(tiny())

    def batches(steps):
        order = Order(crops, config)
        args = (crops, order, 64, design.input, config.augment)
        return list(training_batches(*args, steps=steps, seed=0))

    whole, rest = batches(range(6)), batches(range(4, 6))
    for a, b in zip(whole[4:], rest, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.uv, b.uv)
    assert not np.array_equal(whole[0].image, whole[1].image)


def test_labels_outside_the_crop_weigh_nothing(crops):
    config = tiny(augment={"shift": 0.4, "scale": 0.7})
    design, order = build_design(config), Order(crops, config)
    every = list(
        training_batches(crops, order, 64, design.input, config.augment, steps=range(10), seed=0)
    )
    weight = np.concatenate([b.weight for b in every])
    uv = np.concatenate([b.uv for b in every])
    assert 0 < (weight == 0).mean() < 0.8
    assert np.isfinite(uv).all()
    kept = uv[weight > 0]
    assert kept.min() > -0.5
    assert kept.max() < 63.5


def test_validation_sees_every_hand_once(crops):
    found = list(plain_batches(crops, 64, build_design(tiny()).input, 8))
    assert [len(b.image) for b in found] == [8, 8, 4]
    assert all((b.weight == 1).all() for b in found)
