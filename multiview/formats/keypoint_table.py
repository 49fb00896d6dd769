"""What every reader of another program's 2D keypoints returns: one table a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, as_f64, check_shapes, freeze, present
from multiview.errors import InputError

__all__ = [
    "MAX_FRAME",
    "Hand",
    "KeypointTable",
    "check_frames",
    "check_pixels",
    "frames_of_pictures",
    "table_of",
]

IntArray = NDArray[np.int64]
KeypointFormat = Literal[
    "openpose", "mediapipe", "deeplabcut", "sleap", "coco", "csv", "caliscope", "multiview"
]

# Networks' maps are enlarged by cubic interpolation; with OpenCV's weights (a = -0.75: 19/16 on the
# inner pair, -3/16 on the outer) a peak of 1 can reach (19/16)^2 + (3/16)^2. More is another unit.
OVERSHOOT = (19 / 16) ** 2 + (3 / 16) ** 2 - 1
# A detector puts hidden points of a hand at the border outside the picture, but not a picture away.
MOST_OUTSIDE = 1.0
# Pictures of a camera hold their hands: when more lies outside than inside, the size is another.
MOST_POINTS_OUTSIDE = 0.5
# A hand is wider than this: coordinates of a whole camera within it are shares of the picture.
NORMALISED_PX = 2.0
# Beyond this a "frame number" is a time stamp or damage (a year at 1000 frames a second: 3e10).
MAX_FRAME = 10**11


class Hand(NamedTuple):
    """One row of a table, as a reader collects it."""

    frame: int
    slot: int
    xy_px: F64  # (K, 2), NaN where missing
    conf: F64  # (K,)
    right: float
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointTable:
    """2D keypoints of one camera: N hands (or animals, or persons) of K keypoints.

    Parameters
    ----------
    path
        File or folder read; named by errors.
    frame
        Frame number as the source counts, shape (N,).
    slot
        Number of the hand in its picture, or of its track, shape (N,); once in a frame.
    xy_px
        Pixels, centre of the top-left one (0, 0), shape (N, K, 2); NaN where missing.
    conf
        Confidence in [0, 1], shape (N, K); 0 where missing, 1 where the source has none.
        Overshoot of interpolated maps is clipped.
    right
        Probability of a right hand, shape (N,); NaN where the source does not say.
    where
        Where each row stands in the source, N texts ("line 12"), for errors.
    searched
        Every frame the source answers for, with a hand or not, shape (M,).
    pictures
        File stems of the pictures of ``searched``; empty if the source counts video frames.
    camera
        Camera by the source's own words; empty if it names none.
    names, edges
        Keypoint names and bones of the source; empty if it has none.
    slots
        Names of the tracks or individuals; empty if the slots are in no common order.
    size_wh
        Picture size by the source.

    Raises
    ------
    InputError
        Naming the file and row of an infinite coordinate, a confidence out of range, a negative
        frame number, or a frame that is given twice.
    """

    path: Path
    frame: IntArray
    slot: IntArray
    xy_px: F64
    conf: F64
    right: F64
    where: tuple[str, ...]
    searched: IntArray
    pictures: tuple[str, ...] = ()
    camera: str = ""
    names: tuple[str, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    slots: tuple[str, ...] = ()
    size_wh: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        xy, conf = as_f64(self.xy_px, "xy_px"), as_f64(self.conf, "conf")
        check_shapes(
            "KeypointTable",
            {
                "xy_px": (xy, "N K 2"),
                "conf": (conf, "N K"),
                "right": (self.right, "N"),
                "frame": (self.frame, "N"),
                "slot": (self.slot, "N"),
            },
        )
        self._check(
            np.asarray(np.isinf(xy).any((-1, -2))), "an infinite coordinate", "remove that row"
        )
        bad = (self.frame < 0) | (self.frame > MAX_FRAME)
        self._check(bad, "no frame number from 0", "count frames from 0")
        self._check_twice()
        seen = present(xy)
        off = seen & ~((conf >= -OVERSHOOT) & (conf <= 1 + OVERSHOOT))
        if off.any():
            n, k = np.argwhere(off)[0]
            raise InputError(
                f"{self.path}: {self.where[n]}: keypoint {k} has confidence {conf[n, k]:g}",
                "confidences are from 0 to 1: divide percentages by 100, leave the column out if "
                "it is something else",
            )
        arrays = {
            "xy_px": np.where(seen[..., None], xy, np.nan),
            "conf": np.where(seen, np.clip(conf, 0, 1), 0.0),
        }
        for name, array in arrays.items():
            object.__setattr__(self, name, freeze(array))

    def _check(self, bad: NDArray[np.bool_], what: str, next_step: str) -> None:
        if bad.any():
            where = self.where[int(np.argmax(bad))]
            raise InputError(f"{self.path}: {where}: has {what}", next_step)

    def _check_twice(self) -> None:
        order = np.lexsort((self.slot, self.frame))
        f, s = self.frame[order], self.slot[order]
        again = np.flatnonzero((f[1:] == f[:-1]) & (s[1:] == s[:-1]))
        if again.size:
            first, second = sorted(order[again[0] : again[0] + 2].tolist())
            raise InputError(
                f"{self.path}: {self.where[second]}: frame {self.frame[second]} was given before "
                f"({self.where[first]})",
                "keep one of the two, or give each camera a file of its own",
            )


def table_of(
    path: Path, hands: Sequence[Hand], k: int, searched: Sequence[int], **about: Any
) -> KeypointTable:
    """Stack rows into a table; ``k`` keypoints also where there is no row."""
    check_frames(path, [*searched, *(h.frame for h in hands)])
    n = len(hands)
    return KeypointTable(
        path=path,
        frame=np.array([h.frame for h in hands], np.int64),
        slot=np.array([h.slot for h in hands], np.int64),
        xy_px=np.array([h.xy_px for h in hands], np.float64).reshape(n, k, 2),
        conf=np.array([h.conf for h in hands], np.float64).reshape(n, k),
        right=np.array([h.right for h in hands], np.float64),
        where=tuple(h.where for h in hands),
        searched=np.array(searched, np.int64),
        **about,
    )


def check_frames(path: Path, frames: Sequence[int]) -> None:
    """Check before numbers become int64.

    Raises
    ------
    InputError
        Naming a number that cannot be a frame's.
    """
    for frame in frames:
        if not 0 <= frame <= MAX_FRAME:
            raise InputError(f"{path}: {frame} is no frame number", "count frames from 0")


def frames_of_pictures(stems: Sequence[str]) -> list[int]:
    """Frame numbers of pictures in natural order: digits at the end of the name, else the place.

    ``img_0007`` is frame 7; pictures without such a number, or with one that comes twice, are
    counted from 0.
    """
    digits = [len(s) - len(s.rstrip("0123456789")) for s in stems]
    ends = [s[len(s) - d :] for s, d in zip(stems, digits, strict=True)]
    if all(ends):
        numbers = [int(e[-18:]) for e in ends]
        if len(set(numbers)) == len(numbers) and max(numbers, default=0) <= MAX_FRAME:
            return numbers
    return list(range(len(stems)))


def check_pixels(camera: str, table: KeypointTable, size_wh: tuple[int, int] | None) -> None:
    """Check that coordinates are pixels of this camera's pictures.

    Raises
    ------
    InputError
        Naming the camera, file and row.
    """
    where = f"camera {camera}: {table.path}"
    if size_wh and table.size_wh and tuple(size_wh) != tuple(table.size_wh):
        raise InputError(
            f"{where}: made on pictures of {table.size_wh[0]} x {table.size_wh[1]}, the capture's "
            f"are {size_wh[0]} x {size_wh[1]}",
            "run it on the capture's own pictures",
        )
    seen = present(table.xy_px)
    points = table.xy_px[seen]
    if len(points) and np.abs(points).max() <= NORMALISED_PX:
        raise InputError(
            f"{where}: every coordinate is within {NORMALISED_PX:g} px: shares of the picture?",
            "write pixels (OpenPose: --keypoint_scale 0), or read it as --format mediapipe",
        )
    if not size_wh or not len(points):
        return
    beyond = np.maximum(-table.xy_px, table.xy_px - (np.array(size_wh) - 1)) / size_wh
    far = seen & (np.where(seen[..., None], beyond, 0.0).max(-1) > MOST_OUTSIDE)
    if far.any():
        n, k = np.argwhere(far)[0]
        raise InputError(
            f"{where}: {table.where[n]}: keypoint {k} at ({table.xy_px[n, k, 0]:g}, "
            f"{table.xy_px[n, k, 1]:g}) is far outside the picture of {size_wh[0]} x {size_wh[1]}",
            "check that it was made on this camera's pictures, at this size",
        )
    outside = float((beyond[seen].max(-1) > 0).mean())
    if outside > MOST_POINTS_OUTSIDE:
        raise InputError(
            f"{where}: {outside:.0%} of its points lie outside the picture of "
            f"{size_wh[0]} x {size_wh[1]}",
            "check that it was made on this camera's pictures, at this size",
        )
