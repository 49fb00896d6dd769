"""Edges at corners: how wide, whatever the contrast."""

import cv2
import numpy as np
import pytest
from calib_scenes import CHESS, picture

from multiview.calib.sharpness import edge_width_px


@pytest.fixture(scope="module")
def board():
    return picture(CHESS)


def test_width_follows_the_blur(board):
    image, xy = board
    widths = [edge_width_px(cv2.GaussianBlur(image, (0, 0), s), xy) for s in (0.8, 1.6, 3.2)]
    assert edge_width_px(image, xy) < widths[0] < widths[1] < widths[2]
    # contrast over slope of a Gaussian edge is sqrt(2 pi) sigma
    assert abs(widths[1] - np.sqrt(2 * np.pi) * 1.6) < 1.0


def test_width_does_not_depend_on_contrast(board):
    image, xy = board
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    faint = (image * 0.5 + 60).astype(np.uint8)
    assert abs(edge_width_px(faint, xy) - edge_width_px(image, xy)) < 0.3


def test_no_corner_is_no_width(board):
    image, xy = board
    assert np.isnan(edge_width_px(image, np.full_like(xy, np.nan)))
    assert np.isnan(edge_width_px(np.full_like(image, 90), xy))
