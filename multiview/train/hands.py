"""What a trainer needs to know of labelled hands, whatever format they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, as_f64, check_shapes, freeze
from multiview.core.order import chance_rank
from multiview.errors import InputError

__all__ = ["TrainingHands", "hold_back", "join_hands", "split_by_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHands:
    """N labelled hands, each in one picture.

    Parameters
    ----------
    picture
        What the reader of pictures knows them by, shape (N,); usually paths.
    xy_px
        Keypoints in that picture [px], shape (N, K, 2); NaN where not labelled.
    weight
        Loss weight, 0 to 1, shape (N, K); 0 where not labelled.
    sigma_px
        Standard deviation of the label [px], shape (N, K); NaN where unknown.
    right
        1 a right hand, 0 a left one, NaN unknown, shape (N,).
    session
        Take, or block of time, shape (N,): validation never shares one with training.
    start
        Of the start set (round 0), shape (N,).
    keypoints
        Names of axis K.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    InputError
        If a weight is outside [0, 1], or there without a label.
    """

    picture: tuple[str, ...]
    xy_px: F64
    weight: F64
    sigma_px: F64
    right: F64
    session: tuple[str, ...]
    start: BoolArray
    keypoints: tuple[str, ...]

    def __post_init__(self) -> None:
        patterns = {"xy_px": "N K 2", "weight": "N K", "sigma_px": "N K", "right": "N"}
        arrays = {n: as_f64(getattr(self, n), n) for n in patterns}
        checked: dict[str, tuple[NDArray[Any], str]] = {
            n: (arrays[n], p) for n, p in patterns.items()
        }
        start = np.asarray(self.start, np.bool_)
        checked["start"] = (start, "N")
        sizes = check_shapes("TrainingHands", checked)
        rows = {len(self.picture), len(self.session), sizes["N"]}
        if len(rows) > 1 or sizes["K"] != len(self.keypoints):
            raise InputError(
                f"{sizes['N']} hands of {sizes['K']} keypoints, but {len(self.picture)} pictures, "
                f"{len(self.session)} sessions and {len(self.keypoints)} names",
                "give one picture and session a hand, and one name a keypoint",
            )
        labelled = np.isfinite(arrays["xy_px"]).all(-1)
        weight = arrays["weight"]
        if not ((weight >= 0) & (weight <= 1) & ((weight == 0) | labelled)).all():
            raise InputError(
                "weights are outside [0, 1], or above 0 without a label", "correct the labels"
            )
        for name, array in (arrays | {"start": start}).items():
            object.__setattr__(self, name, freeze(array))

    def __len__(self) -> int:
        return len(self.picture)

    def take(self, rows: NDArray[np.int64]) -> TrainingHands:
        """Choose and order rows."""
        return TrainingHands(
            picture=tuple(self.picture[n] for n in rows),
            xy_px=self.xy_px[rows],
            weight=self.weight[rows],
            sigma_px=self.sigma_px[rows],
            right=self.right[rows],
            session=tuple(self.session[n] for n in rows),
            start=self.start[rows],
            keypoints=self.keypoints,
        )

    @property
    def digest(self) -> str:
        """Hash of labels and names, 16 hex digits; the pictures' pixels are not in it."""
        sha = hashlib.sha256(repr((self.picture, self.session, self.keypoints)).encode())
        for array in (self.xy_px, self.weight, self.sigma_px, self.right, self.start):
            sha.update(np.ascontiguousarray(np.nan_to_num(array, nan=-1e9)).tobytes())
        return sha.hexdigest()[:16]


def join_hands(parts: Sequence[TrainingHands]) -> TrainingHands:
    """Join data sets.

    Raises
    ------
    InputError
        If there are none, or their keypoints differ.
    """
    if not parts or not sum(map(len, parts)):
        raise InputError("there is no labelled hand to train on", "give labels that keep some")
    if len({p.keypoints for p in parts}) > 1:
        raise InputError("the data sets have different keypoints", "train on one kind at a time")
    return TrainingHands(
        picture=tuple(n for p in parts for n in p.picture),
        xy_px=np.concatenate([p.xy_px for p in parts]),
        weight=np.concatenate([p.weight for p in parts]),
        sigma_px=np.concatenate([p.sigma_px for p in parts]),
        right=np.concatenate([p.right for p in parts]),
        session=tuple(s for p in parts for s in p.session),
        start=np.concatenate([p.start for p in parts]),
        keypoints=parts[0].keypoints,
    )


def split_by_session(
    hands: TrainingHands, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep whole sessions for validation, at least one; see `hold_back`.

    Returns
    -------
    tuple
        Rows to train on, and rows to validate on.

    Raises
    ------
    InputError
        If there are fewer than two hands.
    """
    held = hold_back(hands.session, share, seed)
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_back(
    groups: Sequence[str],
    share: float,
    seed: int,
    *,
    held: Collection[str] = (),
    learnt: Collection[str] = (),
) -> BoolArray:
    """Choose whole groups that training does not learn from.

    Parameters
    ----------
    groups
        Of every hand, shape (N,).
    share
        Of the hands that should be held back at least; the last group may bring more.
    seed
        Another number, another choice; the same, the same of the same groups.
    held, learnt
        Groups that an earlier training held back, and learnt from: the first stay held back, the
        second are held back only where there is nothing else, which flatters.

    Returns
    -------
    BoolArray
        Shape (N,). With a single group its last hands: neighbours in time are not independent, so
        such a validation flatters.

    Raises
    ------
    InputError
        If there are fewer than two hands.
    """
    count = len(groups)
    if count < 2:
        raise InputError(f"{count} labelled hands", "training needs hands to learn and to check on")
    wanted = max(1, round(share * count))
    named, out = np.array(groups), np.zeros(count, np.bool_)
    order = sorted(
        set(groups),
        key=lambda g: (0 if g in held else 2 if g in learnt else 1, chance_rank(g, seed)),
    )
    if len(order) == 1:
        out[-wanted:] = True
        return out
    for group in order[:-1]:
        if group in held or (out.sum() < wanted and (group not in learnt or not out.any())):
            out |= named == group
    return out
