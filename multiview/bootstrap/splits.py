"""Splits into training, validation and test by subject, session or time; never frame by frame.

Neighbouring frames and other views of an instant show the same hand in the same pose: a test frame
beside a training frame tests nothing. So whole subjects, whole sessions, or blocks of time go to
one side, and between blocks of different sides a gap is left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from multiview._shapes import F64, BoolArray, IntArray
from multiview.config import Config
from multiview.core import HandSamples
from multiview.core.order import chance_rank
from multiview.errors import InputError

__all__ = ["SplitConfig", "split_by"]


class SplitConfig(Config):
    """How samples are divided.

    Parameters
    ----------
    by
        ``subject`` (nobody is in two splits), ``session`` (no take is), or ``time`` (blocks of
        each take).
    shares
        Shares of the samples, 0 for no such split; met as nearly as whole groups allow.
    block_s
        Length of a block, seconds: longer than a gesture, so that a block is not one pose.
    gap_s
        Time left out between blocks of different splits, seconds, no more than `block_s`: a hand
        that moves at all is elsewhere a second later.
    fps
        Frame sets per second, for takes without times.
    seed
        Another number, another division; the same number, the same.
    """

    by: Literal["subject", "session", "time"] = "session"
    shares: dict[str, float] = Field({"train": 0.8, "val": 0.1, "test": 0.1})
    block_s: float = Field(10.0, gt=0)
    gap_s: float = Field(1.0, ge=0)
    fps: float | None = Field(None, gt=0)
    seed: int = 0

    @field_validator("shares")
    @classmethod
    def _positive(cls, shares: dict[str, float]) -> dict[str, float]:
        wanted = {name: share for name, share in shares.items() if share != 0}
        if len(wanted) < 2 or not all(s > 0 for s in wanted.values()) or "" in wanted:
            raise ValueError("give two or more splits with shares above 0")
        return wanted

    @model_validator(mode="after")
    def _gap_within_a_block(self) -> SplitConfig:
        # a longer one would reach across a whole block, which is not looked for
        if self.gap_s > self.block_s:
            raise ValueError("gap_s is longer than block_s")
        return self


def split_by(samples: HandSamples, config: SplitConfig | None = None) -> HandSamples:
    """Divide samples; those in the gaps between blocks are left out.

    Parameters
    ----------
    samples
        Of any number of takes.
    config
        How.

    Returns
    -------
    HandSamples
        With `split` set, in the order they came in.

    Raises
    ------
    InputError
        If sessions, subjects or times are unknown, or there are fewer groups than splits.
    """
    config = config or SplitConfig()
    if not len(samples):
        raise InputError("there are no samples to split", "give a dataset with labels")
    if config.by == "time":
        return _by_time(samples, config)
    names = getattr(samples, config.by)
    if (names == "").any():
        raise InputError(
            f"{int((names == '').sum())} of {len(samples)} hands do not say their {config.by}",
            "name it when the labels are made, or split by something else: --split.by time",
        )
    groups, group = np.unique(names, return_inverse=True)
    side = _assign(groups.tolist(), np.bincount(group), config)
    return replace(samples, split=np.array(side, np.str_)[group])


def _by_time(samples: HandSamples, config: SplitConfig) -> HandSamples:
    time = _instants(samples, config)
    sessions, session = np.unique(samples.session, return_inverse=True)
    start = np.full(len(sessions), np.inf)
    np.minimum.at(start, session, time)
    since = time - start[session]
    block = np.floor(since / config.block_s).astype(np.int64)
    keys, group = np.unique(np.stack([session, block], 1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    names = [f"{sessions[s]}:{b}" for s, b in keys.tolist()]
    side = np.array(_assign(names, np.bincount(group), config), np.str_)
    keep = ~_in_gap(since - block * config.block_s, keys, group, side, config)
    divided = replace(samples, split=side[group]).take(keep)
    lacking = sorted(set(config.shares) - set(divided.split.tolist()))
    if lacking:
        raise InputError(
            f"nothing is left for {', '.join(lacking)}: blocks of {config.block_s:g} s with gaps "
            f"of {config.gap_s:g} s",
            "use longer blocks or a shorter gap: --split.block-s, --split.gap-s",
        )
    return divided


def _instants(samples: HandSamples, config: SplitConfig) -> F64:
    """Time of each sample's frame set, the same for all its views, shape (N,), seconds."""
    if config.fps is not None:
        return samples.frame_id / config.fps
    if not np.isfinite(samples.time_s).all():
        raise InputError(
            f"{int((~np.isfinite(samples.time_s)).sum())} of {len(samples)} hands have no time",
            "give the frame sets per second: --split.fps 30, or split by session",
        )
    _, first, instant = np.unique(
        np.stack([np.unique(samples.session, return_inverse=True)[1], samples.frame_id], 1),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    earliest = np.full(len(first), np.inf)
    np.minimum.at(earliest, instant.reshape(-1), samples.time_s)
    return np.asarray(earliest[instant.reshape(-1)], np.float64)


def _in_gap(
    into: F64, keys: IntArray, group: IntArray, side: np.ndarray, config: SplitConfig
) -> BoolArray:
    """Whether a sample is within half a gap of a block of another split, shape (N,).

    Parameters
    ----------
    into
        Seconds since its block began, shape (N,).
    keys
        Session and block number of each group, sorted, shape (G, 2).
    """
    number = {tuple(key): n for n, key in enumerate(keys.tolist())}
    before, after = np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.bool_)
    for n, (session, block) in enumerate(keys.tolist()):
        for step, other in ((-1, before), (1, after)):
            m = number.get((session, block + step))
            other[n] = m is not None and side[m] != side[n]
    half = config.gap_s / 2
    late = into >= config.block_s - half
    return np.asarray((before[group] & (into < half)) | (after[group] & late), np.bool_)


def _assign(names: list[str], sizes: IntArray, config: SplitConfig) -> list[str]:
    """Give whole groups to splits, each to the one that lacks the greatest part of its share.

    Raises
    ------
    InputError
        If there are fewer groups than splits.
    """
    if len(names) < len(config.shares):
        finer = "shorten --split.block-s" if config.by == "time" else "use --split.by time"
        what = "block" if config.by == "time" else config.by
        raise InputError(
            f"{len(names)} {what}{'s' * (len(names) != 1)} cannot make {len(config.shares)} splits "
            f"({', '.join(config.shares)})",
            finer,
        )
    total = sum(config.shares.values())
    wanted = {name: share / total * sizes.sum() for name, share in config.shares.items()}
    got = dict.fromkeys(wanted, 0)
    side = [""] * len(names)
    order = sorted(range(len(names)), key=lambda n: chance_rank(names[n], config.seed))
    for left, n in zip(range(len(order), 0, -1), order, strict=True):
        empty = [s for s, count in got.items() if not count]
        # the last groups go to splits that have none
        open_splits = empty if len(empty) >= left else list(wanted)
        best = max(open_splits, key=lambda s: (wanted[s] - got[s]) / wanted[s])
        side[n] = best
        got[best] += int(sizes[n])
    return side
