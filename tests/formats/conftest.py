"""A capture that the readers' frames are matched to."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from keypoint_files import (
    CAMERAS,
)

from multiview.capture import Capture, open_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Two cameras of pictures. cam10 dropped one at 2 s: from there its numbers lag by one."""
    root = tmp_path_factory.mktemp("take")
    times = {"cam1": [0, 1, 2, 3, 4], "cam10": [0, 1, 3, 4]}
    lines = ["cameras:"]
    for name in CAMERAS:
        (root / name).mkdir()
        for n in range(len(times[name])):
            cv2.imwrite(
                str(root / name / f"shot_{n + 7:03d}.png"), np.zeros((120, 160, 3), np.uint8)
            )
        (root / f"{name}.csv").write_text("time_s\n" + "\n".join(map(str, times[name])) + "\n")
        lines.append(f"  {name}: {{path: {name}, times: {name}.csv}}")
    (root / "capture.yaml").write_text("\n".join(lines) + "\n")
    take = open_capture(root)
    assert take.index.tolist() == [[0, 1, 3, 4], [0, 1, 2, 3]]  # cam1 alone makes no set
    return take
