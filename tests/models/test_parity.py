"""Our hands are MediaPipe's hands: same number, same side, same keypoints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "experiments" / "01-mediapipe-parity"
PHOTOS = ROOT / "tests" / "data" / "photos"
# Acceptance asks 0.1 px in the median. Measured 0.0004 and 0.004: float32 noise of another runtime.
# Sampling with exact instead of 1/32 px weights already gives a p95 above 0.1.
MEDIAN_PX, P95_PX = 0.1, 0.02
EVERY = 5  # of the 520 shared photos; compare.py does all


def _compare():
    spec = importlib.util.spec_from_file_location("parity_compare", EXPERIMENT / "compare.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


COMPARE = _compare()


def check(folder, model, photos):
    parity = COMPARE.compare(folder, model, photos)
    assert parity.theirs > 0
    assert (parity.missed, parity.extra) == ([], [])
    assert parity.ours == parity.matched == parity.same_side == parity.theirs
    errors = np.concatenate(parity.errors_px)
    assert np.median(errors) < MEDIAN_PX
    assert np.percentile(errors, 95) < P95_PX


@pytest.mark.parametrize("model", ["lite", "full"])
def test_parity_on_the_committed_photos(model):
    check(PHOTOS, model, COMPARE.read_table(PHOTOS / "mediapipe_0.10.21.csv")[model])


@pytest.mark.parametrize("model", ["lite", "full"])
def test_parity_on_the_shared_photos(model):
    folder = COMPARE.shared_photos()
    if not folder.is_dir():
        pytest.skip(
            "hand_photos not found: set MULTIVIEW_SHARED or put shared/ beside the repository"
        )
    photos = COMPARE.read_table(COMPARE.TABLE)[model]
    check(folder, model, dict(list(photos.items())[::EVERY]))
