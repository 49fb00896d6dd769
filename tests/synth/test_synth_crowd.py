"""Pooled candidates carry their truth."""

from __future__ import annotations

import numpy as np
import pytest

from multiview.errors import InputError
from multiview.synth import join_candidates, make_hand_motion, make_rig, observe, pass_by


def people(count: int, frames: int = 20):
    rng = np.random.default_rng(0)
    rig = make_rig(rng, 3, view_m=1.0)
    hands = [make_hand_motion(rng, frames, 2) for _ in range(count)]
    return rig, hands, [observe(rng, rig, h, noise_px=0.0, ordered=False) for h in hands]


def test_every_candidate_lies_where_its_hand_is() -> None:
    rig, hands, seen = people(2)
    crowd = join_candidates(np.random.default_rng(1), seen)
    assert crowd.detections.hands == ()
    assert crowd.hand.shape[2] == 4
    xy = rig.project(np.concatenate(hands, axis=1))
    want = np.take_along_axis(xy, np.maximum(crowd.hand, 0)[..., None, None], axis=2)
    off = np.linalg.norm(crowd.detections.xy_px - want, axis=-1)
    assert np.nanmax(off) < 1e-6
    assert (crowd.hand >= 0).any()
    np.testing.assert_array_equal(crowd.hand >= 0, crowd.detections.valid.any(-1))


def test_duplicates_and_absences_are_as_asked() -> None:
    _, _, seen = people(1, 200)
    away = np.zeros((200, 2), np.bool_)
    away[50:80, 1] = True
    crowd = join_candidates(np.random.default_rng(1), seen, duplicates=0.3, away=away)
    assert not (crowd.hand[:, 50:80] == 1).any()
    count = np.stack([(crowd.hand == h).sum(2) for h in (0, 1)])
    assert 0.25 < (count == 2).sum() / (count > 0).sum() < 0.35


def test_people_must_share_cameras_and_frames() -> None:
    _, _, first = people(1, 20)
    _, _, second = people(1, 10)
    with pytest.raises(InputError, match="2 people"):
        join_candidates(np.random.default_rng(0), [*first, *second])


def test_hands_pass_at_the_distance_asked() -> None:
    xyz = pass_by(make_hand_motion(np.random.default_rng(2), 61, 2, reach_m=0.0), apart_m=0.05)
    apart = np.linalg.norm(xyz[:, 0].mean(1) - xyz[:, 1].mean(1), axis=-1)
    assert apart.min() < 0.12
    assert apart[0] > 0.4
    before, after = xyz[0].mean(1)[:, 0], xyz[30].mean(1)[:, 0]
    assert (before[0] < before[1]) != (after[0] < after[1])
