"""Medians of what is known, along any axis."""

import warnings

import numpy as np

from multiview.geometry.median import median_of

NAN = np.nan


def test_what_is_not_known_is_left_out():
    values = np.array([[1.0, NAN, 5.0], [NAN, NAN, NAN], [2.0, 4.0, 9.0]])
    np.testing.assert_array_equal(median_of(values), [3.0, NAN, 4.0])
    np.testing.assert_array_equal(median_of(values, 0), [1.5, 4.0, 7.0])


def test_fewer_than_wanted_are_none():
    values = np.array([[1.0, NAN, 5.0], [2.0, 4.0, 9.0]])
    np.testing.assert_array_equal(median_of(values, least=3), [NAN, 4.0])


def test_nothing_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(median_of(np.full((2, 3), NAN))).all()
        assert median_of(np.empty((0, 4)), 0).shape == (4,)
