"""Detected corners survive a kill and serve the next calibration."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "calib"))
from calib_scenes import CHARUCO, Pictures, picture, warped

from multiview.calib import detect_boards, parse_board
from multiview.stages.board_store import open_store

SHOWN = [warped(*picture(CHARUCO), seed=s, size=(480, 360))[0] for s in range(2)]


class Counted(Pictures):
    """Footage that counts its pictures and fails at one of them."""

    def __init__(self, fails_at: int | None) -> None:
        super().__init__(("a", "b"), [SHOWN * 60, SHOWN * 60])
        self.read, self.fails_at = 0, fails_at

    def pick(self, view: int, positions: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for item in super().pick(view, positions):
            self.read += 1
            if self.fails_at and self.read >= self.fails_at:
                raise KeyboardInterrupt
            yield item


def test_an_interrupted_detection_goes_on_and_a_finished_one_is_read(tmp_path: Path) -> None:
    store = open_store(tmp_path / "out", "digest", [CHARUCO])
    with pytest.raises(KeyboardInterrupt):
        detect_boards(Counted(130), [CHARUCO], store=store, workers=1)
    finished = sorted(store.folder.glob("*.npz"))
    assert len(finished) == 2  # blocks of 48 pictures
    finished[0].write_bytes(b"torn")
    again = Counted(None)
    first = detect_boards(again, [CHARUCO], store=store, workers=1)[0]
    assert again.read == 2 * 120 - 48
    last = Counted(None)
    second = detect_boards(last, [CHARUCO], store=store)[0]
    assert last.read == 0
    np.testing.assert_array_equal(first.xy_px, second.xy_px)
    np.testing.assert_array_equal(first.std_px, second.std_px)
    assert first.valid.any(-1).all()


def test_another_take_or_board_has_another_store(tmp_path: Path) -> None:
    other = parse_board("chessboard:9x6:25mm")
    folders = {
        open_store(tmp_path / "out", *key).folder
        for key in [("a", [CHARUCO]), ("b", [CHARUCO]), ("a", [other]), ("a", [CHARUCO, other])]
    }
    assert len(folders) == 4
