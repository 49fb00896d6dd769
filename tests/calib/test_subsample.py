from __future__ import annotations

import numpy as np
from calib_scenes import CHARUCO, Pictures, picture, warped

from multiview.calib import detect_boards
from multiview.calib.subsample import choose_sets, coarse_sets

SIZE = ((640, 480),)


def views(middles: np.ndarray, scale: float = 20) -> tuple[np.ndarray, np.ndarray]:
    """A 3 x 3 grid around each of F places, seen by one camera."""
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2) * scale
    xy = (middles[:, None] + grid)[None].astype(float)
    return xy, np.full(xy.shape[:3], 0.02)


def test_a_view_seen_once_is_kept_among_many_of_one_kind() -> None:
    middles = np.full((300, 2), 100.0)
    middles[[40, 170]] = [[500, 400], [300, 60]]
    xy, std = views(middles)
    xy[:, [40, 170], :5] = np.nan  # it shows less than any of the many
    chosen = choose_sets([xy], [std], SIZE, 10)
    assert len(chosen) == 10
    assert {40, 170} <= set(chosen.tolist())


def test_frames_without_a_board_are_not_chosen_and_sharp_ones_are_preferred() -> None:
    xy, std = views(np.full((60, 2), 200.0))
    xy[:, ::2] = np.nan
    std[:, 1::4] = 0.2
    chosen = choose_sets([xy], [std], SIZE, 15)
    assert (chosen % 4 == 3).all()


def test_footage_without_any_board_leaves_a_frame() -> None:
    xy, std = views(np.full((50, 2), 200.0))
    assert choose_sets([np.full_like(xy, np.nan)], [std], SIZE, 10).tolist() == [0]


def test_long_footage_is_looked_at_evenly_and_no_more_than_thrice() -> None:
    some = coarse_sets(18000, 500)
    assert len(some) == 1500
    assert (some[0], some[-1]) == (0, 17999)
    assert coarse_sets(700, 500).tolist() == list(range(700))


def test_a_long_take_returns_the_frames_it_chose() -> None:
    shown = [warped(*picture(CHARUCO), seed=s, size=(480, 360))[0] for s in range(3)]
    blank = np.full((360, 480), 128, np.uint8)
    take = Pictures(("a",), [[blank, *shown, blank, blank, shown[0], shown[0]]])
    (corners,) = detect_boards(take, [CHARUCO], max_sets=4)
    assert len(corners.frame_ids) == 4
    assert set(corners.frame_ids.tolist()) < {1, 2, 3, 6, 7}
    assert corners.valid.any(-1).all()
