"""Colours stay apart for every kind of eye, on dark and on white."""

from itertools import combinations

import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.viz.colours import CERTAINTY, graded

# What dichromats see, on linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
EYES = {
    "usual": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ_FROM_RGB = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
WHITE = XYZ_FROM_RGB.sum(1)
# CIE 1976: about 2.3 is just noticeable side by side; ten times that is told apart on thin lines.
APART = 23.0


def lab(colors, eye):
    c = np.array(colors) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.array(eye).T, 0, 1) @ XYZ_FROM_RGB.T / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("kind", ["fingers", "certainty"])
def test_colours_are_told_apart(eye, kind):
    tips = [HAND_21.colors[k] for k in (4, 8, 12, 16, 20)]
    seen = lab(tips if kind == "fingers" else CERTAINTY, EYES[eye])
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > APART
    lightness = lab(tips, np.eye(3))[:, 0]
    assert lightness.min() > 40  # on black
    assert lightness.max() < 93  # on white


def test_grades_go_through_the_stops():
    got = graded(np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, np.nan]])).tolist()
    low, middle, high = (list(c) for c in CERTAINTY)
    assert got == [[low, low, middle], [high, high, high]]
    between = graded(np.array(0.25)).astype(float)
    np.testing.assert_allclose(between, np.add(low, middle) / 2, atol=1)
