"""Splits: no instant and no neighbouring frame on two sides, all views of an instant together."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiview.bootstrap.splits import SplitConfig, split_by
from multiview.core import HandSamples
from multiview.core.samples import make_samples
from multiview.errors import InputError


def some_samples(
    sessions: tuple[str, ...] = ("a", "b", "c"), frames: int = 600, views: int = 2, fps: float = 10
) -> HandSamples:
    """Takes whose cameras are out of step by less than a frame, in no order."""
    s, f, v = (x.ravel() for x in np.mgrid[: len(sessions), :frames, :views])
    rng = np.random.default_rng(0)
    order = rng.permutation(len(s))
    s, f, v = s[order], f[order], v[order]
    n = len(s)
    return make_samples(
        xy_px=np.full((n, 21, 2), 5.0),
        visibility=np.full((n, 21), 2),
        image=[f"{a}/{b}/{c}.jpg" for a, b, c in zip(s, v, f, strict=True)],
        size_wh=np.full((n, 2), 10),
        session=np.array(sessions)[s],
        subject=np.array(["x", "y", "z", "w"])[s % 4],
        camera=v.astype(str),
        frame_id=f,
        time_s=100 * s + f / fps + v * 0.03,
    )


def instants(samples: HandSamples) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    for session, frame, split in zip(samples.session, samples.frame_id, samples.split, strict=True):
        found.setdefault((session, int(frame)), set()).add(split)
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(2, 12), st.floats(0, 1.9))
def test_no_neighbouring_frames_in_two_splits(seed: int, block_s: float, gap_s: float) -> None:
    samples = some_samples()
    divided = split_by(samples, SplitConfig(by="time", block_s=block_s, gap_s=gap_s, seed=seed))
    sides = instants(divided)
    assert all(len(s) == 1 for s in sides.values())
    for session in ("a", "b", "c"):
        frames = sorted(f for s, f in sides if s == session)
        for one, two in pairwise(frames):
            if sides[session, one] != sides[session, two]:
                # times that no camera's lag can shorten
                assert (two - one) / 10 >= gap_s - 1e-9
    # all views of an instant are kept or left out together
    _, counts = np.unique(
        [f"{s}{f}" for s, f in zip(divided.session, divided.frame_id, strict=True)],
        return_counts=True,
    )
    assert set(counts) == {2}
    assert set(divided.split) == {"train", "val", "test"}


def test_only_gaps_are_left_out() -> None:
    samples = some_samples()
    config = SplitConfig(by="time", block_s=5, gap_s=1)
    divided = split_by(samples, config)
    same = split_by(samples, config.model_copy(update={"gap_s": 0.0}))
    assert len(same) == len(samples)
    changes = 0
    sides = instants(same)
    for session in ("a", "b", "c"):
        blocks = [sides[session, f] for f in range(0, 600, 50)]
        changes += sum(a != b for a, b in pairwise(blocks))
    # 10 frames of 2 views at each change
    assert len(samples) - len(divided) == changes * 10 * 2


@pytest.mark.parametrize("by", ["session", "subject"])
def test_groups_stay_whole(by: str) -> None:
    samples = some_samples(tuple("abcdefgh"), frames=20)
    divided = split_by(samples, SplitConfig(by=by))
    names = getattr(divided, by)
    for name in set(names):
        assert len(set(divided.split[names == name])) == 1
    assert len(divided) == len(samples)
    assert set(divided.split) == {"train", "val", "test"}


def test_the_order_of_samples_decides_nothing() -> None:
    samples = some_samples(tuple("abcdefgh"), frames=20)
    order = np.random.default_rng(1).permutation(len(samples))
    for by in ("session", "time"):
        config = SplitConfig(by=by, block_s=0.5, gap_s=0.1)
        one = split_by(samples, config)
        two = split_by(samples.take(order), config)
        assert instants(one) == instants(two)


def test_shares_are_met_and_seeds_differ() -> None:
    samples = some_samples(tuple(map(str, range(60))), frames=4)
    found = [split_by(samples, SplitConfig(by="session", seed=seed)) for seed in (0, 1)]
    for divided in found:
        for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
            # one of 60 sessions
            assert abs((divided.split == name).mean() - share) <= 1 / 60 + 1e-9
    assert (found[0].split != found[1].split).any()


def test_an_offset_between_cameras_does_not_part_an_instant() -> None:
    """A view 30 ms late at the edge of a block goes with the others."""
    samples = some_samples(("a",), frames=100)
    divided = split_by(
        samples, SplitConfig(by="time", block_s=1, gap_s=0, shares={"train": 1, "val": 1})
    )
    assert all(len(s) == 1 for s in instants(divided).values())


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (SplitConfig(), {}, r"1 session cannot make 3 splits .*\n.*--split.by time"),
        (SplitConfig(by="time", block_s=50), {}, "2 blocks cannot make 3 splits"),
        (SplitConfig(by="subject"), {"subject": ""}, "1200 of 1200 hands do not say their subject"),
        (SplitConfig(by="time"), {"time_s": np.nan}, "1200 of 1200 hands have no time"),
        (SplitConfig(by="time", block_s=1, gap_s=1), {}, "nothing is left for"),
    ],
)
def test_what_cannot_be_split_is_said(config, change, message) -> None:
    samples = some_samples(("a",))
    changed = {n: np.full(len(samples), v) for n, v in change.items()}
    with pytest.raises(InputError, match=message):
        split_by(replace(samples, **changed), config)


def test_takes_without_times_need_their_rate() -> None:
    samples = some_samples(("a",))
    timed = split_by(samples, SplitConfig(by="time", block_s=5))
    bare = replace(samples, time_s=np.full(len(samples), np.nan))
    assert instants(split_by(bare, SplitConfig(by="time", block_s=5, fps=10))) == instants(timed)


def test_shares_are_checked() -> None:
    assert SplitConfig(shares={"train": 1, "val": 1, "test": 0}).shares == {"train": 1, "val": 1}
    for shares in ({"train": 1.0}, {"train": 1.0, "val": 0.0}, {"train": 1.0, "val": -1.0}):
        with pytest.raises(ValueError, match="shares above 0"):
            SplitConfig(shares=shares)


def test_a_gap_beyond_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="gap_s is longer than block_s"):
        SplitConfig(by="time", block_s=1, gap_s=2)
