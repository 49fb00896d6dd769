"""Skeletons: keypoints, bones, groups and colours; the 21 points of a hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import IntArray
from multiview.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Keypoints, bones, groups that are triangulated together, and their colours.

    Parameters
    ----------
    name, keypoints
        Names; ``keypoints`` is in the order of axis K.
    edges
        Bones as pairs of keypoint numbers, parent first.
    groups
        ``{name: keypoint numbers}`` covering every keypoint once: the fingers.
    colors
        One RGB triple (0-255) per keypoint.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    groups: dict[str, tuple[int, ...]]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        n = len(self.keypoints)
        covered = sorted(k for group in self.groups.values() for k in group)
        if covered != list(range(n)) or len(self.colors) != n or not n:
            raise InputError(
                f"skeleton {self.name!r}: groups must cover each of its {n} keypoints once and "
                f"colors have {n} entries",
                "check the skeleton file",
            )
        if any(not 0 <= k < n for edge in self.edges for k in edge):
            raise InputError(f"skeleton {self.name!r}: an edge names no keypoint", "check edges")

    @property
    def group_index(self) -> IntArray:
        """Group number of every keypoint, shape (K,)."""
        index = np.empty(len(self.keypoints), np.int64)
        for number, members in enumerate(self.groups.values()):
            index[list(members)] = number
        return index


def _hand_21() -> Skeleton:
    # chosen to stay apart for every kind of eye (tests/viz/test_colours.py), on dark and on white
    hues = {
        "thumb": (210, 92, 5),
        "index": (240, 230, 30),
        "middle": (20, 190, 130),
        "ring": (105, 105, 240),
        "little": (230, 140, 216),
    }
    joints = ("1", "2", "3", "4")
    keypoints, colors, edges = ["wrist"], [(150, 150, 150)], []
    groups: dict[str, tuple[int, ...]] = {"wrist": (0,)}
    for number, (finger, hue) in enumerate(hues.items()):
        first = 1 + 4 * number
        groups[finger] = tuple(range(first, first + 4))
        edges += [(0, first)] + [(k, k + 1) for k in range(first, first + 3)]
        for joint, shade in zip(joints, (0.55, 0.7, 0.85, 1.0), strict=True):
            keypoints.append(f"{finger}{joint}")
            r, g, b = (round(c * shade) for c in hue)
            colors.append((r, g, b))
    return Skeleton(
        name="hand21",
        keypoints=tuple(keypoints),
        edges=tuple(edges),
        groups=groups,
        colors=tuple(colors),
    )


HAND_21 = _hand_21()
"""Wrist, then thumb, index, middle, ring, little from base to tip (OpenPose and MediaPipe order).

One hue per finger, told apart by colour-blind eyes too: thumb orange, index yellow, middle green,
ring blue, little pink; dark at the base, wrist grey.
"""
