"""Footage for the health of a rig: board corners and hands as tracks, and how they may be numbered.

A chessboard may be numbered from either end and a left hand be called a right one. Both are
renumberings of the same points, and are settled by what the rig predicts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64, BoolArray, IntArray
from multiview.calib.board import Board
from multiview.calib.corners import MIN_CORNERS, BoardCorners
from multiview.core import Detections, Rig
from multiview.errors import InputError

__all__ = ["Footage", "board_footage", "hand_footage", "renumber"]

Order = NDArray[np.int64]
# Observations that enter a fit. Ten thousand fix a camera's place to a hundredth of what anyone
# can repair, and bound the time to seconds.
MAX_OBSERVATIONS = 10_000
# A numbering that puts a point where nothing was predicted costs as much as an error of so many
# tolerances.
NOWHERE = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """Points in pictures, for any kind of target.

    Parameters
    ----------
    xy_px
        Recorded pixels, shape (V, F, N, 2); NaN where not seen.
    times
        Stamps, shape (V, F), seconds; frame numbers where none are known.
    timed
        Whether ``times`` are seconds.
    names, sizes_wh
        Per camera; a size is (0, 0) where not known.
    solid
        Board points about the board's centre, shape (N, 3), metres; None for hands.
    orders
        Renumberings that may be wrong in single pictures; the identity comes first.
    bodies
        Bodies that the points belong to, in equal shares: a board, or two hands.
    what
        Of what, in one line.
    """

    xy_px: F64
    times: F64
    timed: bool
    names: tuple[str, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    solid: F64 | None
    orders: tuple[Order, ...]
    bodies: int
    what: str

    @property
    def seen(self) -> BoolArray:
        """Where a point was found, shape (V, F, N)."""
        return np.asarray(np.isfinite(self.xy_px[..., 0]))

    def exchanged(self, a: int, b: int) -> Footage:
        """Return the footage with the pictures of two cameras exchanged."""
        order = np.arange(len(self.names))
        order[[a, b]] = b, a
        sizes = tuple(self.sizes_wh[i] for i in order)
        return replace(self, xy_px=self.xy_px[order], times=self.times[order], sizes_wh=sizes)

    def with_view(self, view: int, xy_px: F64) -> Footage:
        """Return the footage with other pixels (F, N, 2) of one camera."""
        out = self.xy_px.copy()
        out[view] = xy_px
        return replace(self, xy_px=out)

    def frames_to_use(self) -> IntArray:
        """Evenly spaced frames that at least two cameras share, few enough to be quick."""
        shared = np.flatnonzero(self.seen.any(-1).sum(0) >= 2)
        if not shared.size:
            raise InputError(
                f"no two cameras ever see {self.what} at the same time",
                "film it where the views overlap, and check that the videos are in step",
            )
        count = int(self.seen[:, shared].sum())
        wanted = max(1, round(len(shared) * min(1.0, MAX_OBSERVATIONS / count)))
        return np.asarray(shared[np.linspace(0, len(shared) - 1, wanted).astype(int)], np.int64)


def board_footage(
    corners: BoardCorners, board: Board, names: tuple[str, ...], times: F64 | None = None
) -> Footage:
    """Corners of a board as footage, cameras in the order of ``names``.

    Raises
    ------
    InputError
        If the corners are another board's, or no picture shows enough of them.
    """
    at = [corners.camera_names.index(n) for n in names]
    xy = corners.xy_px[at]
    if xy.shape[2] != len(board.object_points):
        raise InputError(
            f"corners hold {xy.shape[2]} per frame, the board ({board.describe()}) has "
            f"{len(board.object_points)}",
            "give the board that the corners were found with",
        )
    few = np.isfinite(xy[..., 0]).sum(-1) < MIN_CORNERS
    xy = np.where(few[..., None, None], np.nan, xy)
    stamps, timed = _stamps(corners.frame_ids, times, at)
    return Footage(
        xy_px=xy,
        times=stamps,
        timed=timed,
        names=names,
        sizes_wh=tuple(corners.sizes_wh[i] for i in at),
        solid=board.object_points - board.object_points.mean(0),
        orders=tuple(order for order, _ in board.symmetries),
        bodies=1,
        what=f"the board ({board.describe()})",
    )


def _stamps(frame_ids: IntArray, times: F64 | None, at: list[int]) -> tuple[F64, bool]:
    if times is not None and np.isfinite(times).any():
        return np.asarray(times[at], np.float64), True
    return np.tile(frame_ids.astype(np.float64), (len(at), 1)), False


def hand_footage(dets: Detections, names: tuple[str, ...]) -> Footage:
    """Hands as footage: axis N is left hand, then right hand.

    Unordered candidates are put where the detector's own opinion of left and right says; what it
    gets wrong is renumbered later.
    """
    at = [dets.camera_names.index(n) for n in names]
    xy = dets.xy_px[at]
    if not dets.hands:
        xy = _by_opinion(xy, dets.right[at])
    V, F, H, K, _ = xy.shape
    number = np.arange(H * K).reshape(H, K)
    orders = [number.ravel()] + ([number[::-1].ravel()] if H == 2 else [])
    stamps, timed = _stamps(dets.frame_ids, dets.times, at)
    return Footage(
        xy_px=xy.reshape(V, F, H * K, 2),
        times=stamps,
        timed=timed,
        names=names,
        sizes_wh=tuple(dets.size_wh[i] for i in at) if dets.size_wh else ((0, 0),) * V,
        solid=None,
        orders=tuple(orders),
        bodies=H,
        what="a hand",
    )


def _by_opinion(xy: F64, right: F64) -> F64:
    """Keep the two best candidates (V, F, H, K, 2) of every picture, the more right one second."""
    V, F, _, K, _ = xy.shape
    out = np.full((V, F, 2, K, 2), np.nan)
    there = np.asarray(np.isfinite(xy[..., 0]).any(-1), np.bool_)
    score = np.where(there, np.nan_to_num(right, nan=0.5), -1.0)
    rank = np.argsort(~there, axis=-1, kind="stable")[..., :2]  # candidates come best first
    for v, f in np.argwhere(there.any(-1)):
        chosen = [h for h in rank[v, f] if there[v, f, h]]
        if len(chosen) == 2:
            low, high = sorted(chosen, key=lambda h: score[v, f, h])
            out[v, f, 0], out[v, f, 1] = xy[v, f, low], xy[v, f, high]
        else:
            out[v, f, int(score[v, f, chosen[0]] > 0.5)] = xy[v, f, chosen[0]]
    return out


def renumber(footage: Footage, use: IntArray, predicted: F64, tolerance_px: F64) -> Footage:
    """Renumber each picture to what is nearest to the prediction.

    Parameters
    ----------
    footage
        All frames.
    use
        Frames of the prediction, shape (U,); the others stay.
    predicted
        Pixels, shape (V, U, N, 2); NaN where nothing is predicted.
    tolerance_px
        Per camera, shape (V,): errors beyond it count less and less.
    """
    if len(footage.orders) < 2:
        return footage
    costs = np.stack(
        [
            _order_cost(footage.xy_px[:, use][:, :, o], predicted, tolerance_px)
            for o in footage.orders
        ]
    )
    # the given numbering stays unless another one is better
    best = costs.argmin(0)
    if not best.any():
        return footage
    xy = footage.xy_px.copy()
    for k, order in enumerate(footage.orders[1:], 1):
        v, u = np.nonzero(best == k)
        xy[v, use[u]] = xy[v, use[u]][:, order]
    return replace(footage, xy_px=xy)


def _order_cost(xy: F64, predicted: F64, tolerance_px: F64) -> F64:
    """Robust cost of every picture, shape (V, U)."""
    gap = np.linalg.norm(xy - predicted, axis=-1) / tolerance_px[:, None, None]
    found = np.isfinite(xy[..., 0])
    gap = np.where(found & np.isnan(gap), NOWHERE, gap)
    return np.asarray(np.where(found, np.log1p(np.nan_to_num(gap) ** 2), 0.0).sum(-1))


def check_names(names: tuple[str, ...], rig: Rig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cameras that rig and footage share, and those of the rig that were not filmed.

    Raises
    ------
    InputError
        If the footage has a camera that the rig does not know, or they share fewer than two.
    """
    rig.select(names)
    shared = tuple(n for n in rig.names if n in names)
    if len(shared) < 2:
        raise InputError(
            f"rig and footage share only camera {', '.join(shared)}",
            "a rig is checked by comparing cameras: film with at least two of them",
        )
    return shared, tuple(n for n in rig.names if n not in names)
