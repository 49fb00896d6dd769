"""Keypoint names of other programs: the hand by its usual names, or a skeleton of the file's own.

Order is never guessed: names decide. Known for each finger (``index``, ``index_finger``,
``forefinger``; ``little``, ``pinky``; ...) are 1 to 4 from base to tip, ``mcp pip dip tip``, and
for the thumb ``cmc mcp ip tip``; case and punctuation do not matter.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from multiview.core import HAND_21, Skeleton
from multiview.errors import InputError

__all__ = ["KeypointChoice", "hand_index", "skeleton_of"]

KeypointChoice = Literal["auto", "own"]

FINGERS = {
    "thumb": ("thumb",),
    "index": ("index", "indexfinger", "forefinger"),
    "middle": ("middle", "middlefinger"),
    "ring": ("ring", "ringfinger"),
    "little": ("little", "littlefinger", "pinky", "pinkyfinger", "pinkie"),
}
THUMB_JOINTS, FINGER_JOINTS = ("cmc", "mcp", "ip", "tip"), ("mcp", "pip", "dip", "tip")
GOLDEN = 0.618034  # of the colour circle: neighbours in the list get unlike hues


def _aliases() -> dict[str, int]:
    found = {"wrist": 0, "handroot": 0}
    for number, (finger, spellings) in enumerate(FINGERS.items()):
        joints = THUMB_JOINTS if finger == "thumb" else FINGER_JOINTS
        for spelling in spellings:
            for j, joint in enumerate(joints):
                found[f"{spelling}{j + 1}"] = found[spelling + joint] = 1 + 4 * number + j
    return found


ALIASES = _aliases()


def hand_index(name: str) -> int | None:
    """Find a keypoint of `HAND_21` by any of its usual names; None for another name."""
    return ALIASES.get("".join(c for c in name.casefold() if c.isalnum()))


def skeleton_of(
    path: Path,
    k: int,
    names: Sequence[str] = (),
    edges: Sequence[tuple[int, int]] = (),
    choice: KeypointChoice = "auto",
) -> tuple[Skeleton, list[int]]:
    """Find the skeleton of a source and how to reorder its keypoints.

    Parameters
    ----------
    path
        For errors.
    k
        Keypoints in the source.
    names, edges
        Of the source; empty if it has none, then 21 points are taken as `HAND_21` in its order.
    choice
        ``"own"`` keeps the source's names and order even where they are those of a hand.

    Returns
    -------
    skeleton, order
        ``xy[:, order]`` is in the skeleton's order. A skeleton of its own has one group a point:
        no rule says which points move together.

    Raises
    ------
    InputError
        If the names are those of a hand in part, a name comes twice, or there are neither names
        nor 21 points.
    """
    if len(set(names)) < len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise InputError(f"{path}: two keypoints are called {twice!r}", "rename one")
    if not names and k == len(HAND_21.keypoints) and choice == "auto":
        return HAND_21, list(range(k))
    if not names:
        if choice == "auto":
            raise InputError(
                f"{path}: {k} keypoints without names; a hand has 21",
                "give a hand of 21 points, or keep them as they are: --keypoints own",
            )
        names = [str(i) for i in range(k)]
    known = [hand_index(n) for n in names]
    if (
        choice == "auto"
        and sorted(i for i in known if i is not None) == list(range(21))
        and k == 21
    ):
        return HAND_21, [known.index(i) for i in range(k)]
    if choice == "auto" and any(i is not None for i in known):
        raise InputError(
            _partial(path, names, known),
            "rename them, or keep the file's own points: --keypoints own",
        )
    return _own(tuple(names), tuple(edges)), list(range(k))


def _partial(path: Path, names: Sequence[str], known: Sequence[int | None]) -> str:
    hand = [n for n, i in zip(names, known, strict=True) if i is not None]
    other = [n for n, i in zip(names, known, strict=True) if i is None]
    absent = [n for i, n in enumerate(HAND_21.keypoints) if i not in known]
    parts = [f"{path}: {len(hand)} of the names are of a hand ({_few(hand)})"]
    parts += [f"others are not ({_few(other)})"] if other else []
    parts += [f"of its 21 it lacks {_few(absent)}"] if absent else ["some come twice"]
    return ", ".join(parts)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _own(names: tuple[str, ...], edges: tuple[tuple[int, int], ...]) -> Skeleton:
    hues = [colorsys.hsv_to_rgb(i * GOLDEN % 1, 0.8, 1.0) for i in range(len(names))]
    return Skeleton(
        name="own",
        keypoints=names,
        edges=edges,
        groups={name: (i,) for i, name in enumerate(names)},
        colors=tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues),
    )
