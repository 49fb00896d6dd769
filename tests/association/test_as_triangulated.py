"""Rows that triangulation exchanged are found again in the detections, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_repair import take

from multiview.association import as_triangulated
from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.geometry.refit import pixel_errors
from multiview.smoothing.take import smooth
from multiview.triangulation import TriangulationConfig, triangulate_with_report

CONFUSED = {"finger_swaps": 0.1, "hand_swaps": 0.1}


def errors(points, dets, rig):
    shape = points.inlier.shape
    xy = dets.xy_px.reshape(shape[0], -1, 2)
    return pixel_errors(rig, points.xyz_world.reshape(-1, 3), xy).reshape(shape)


@pytest.mark.parametrize("unit", ["finger", "keypoint"])
def test_every_view_is_read_where_it_carried_the_point(unit: str) -> None:
    rig, seen = take(0, hands=2, **CONFUSED)
    dets = seen.detections
    points, report = triangulate_with_report(dets, rig, TriangulationConfig(unit=unit))
    assert report.repairs
    as_given = errors(points, dets, rig)
    wrong = points.inlier & ~np.isclose(as_given, points.err_px, atol=1e-6)
    assert wrong.sum() > 500
    found = as_triangulated(dets, points, rig)
    still = points.inlier & ~np.isclose(errors(points, found, rig), points.err_px, atol=1e-6)
    assert still.sum() < 0.02 * wrong.sum()
    # once more changes nothing
    again = as_triangulated(found, points, rig)
    np.testing.assert_array_equal(again.xy_px, found.xy_px)


def test_nothing_moves_where_triangulation_moved_nothing() -> None:
    rig, seen = take(0, hands=2, **CONFUSED)
    config = TriangulationConfig(repair=False)
    points, _ = triangulate_with_report(seen.detections, rig, config)
    found = as_triangulated(seen.detections, points, rig)
    np.testing.assert_array_equal(found.xy_px, seen.detections.xy_px)


def test_smoothing_reads_repaired_rows() -> None:
    """Taken for inliers, the exchanged rows of the other finger would pull on the paths."""
    rig, seen = take(0, **CONFUSED)
    points, _ = triangulate_with_report(seen.detections, rig)
    repaired = as_triangulated(seen.detections, points, rig)
    one, other = (smooth(points, d, rig) for d in (seen.detections, repaired))
    np.testing.assert_array_equal(one.xyz_world, other.xyz_world)
    carried = one.inlier & np.isfinite(one.err_px)
    assert np.quantile(one.err_px[carried], 0.999) < 12


def test_an_animal_without_a_name_has_one_slot() -> None:
    rig, seen = take(1)
    names = tuple(f"p{k}" for k in range(21))
    groups = {n: (k,) for k, n in enumerate(names)}
    animal = replace(HAND_21, name="animal", keypoints=names, groups=groups)
    dets = replace(seen.detections, skeleton=animal, hands=())
    points, _ = triangulate_with_report(dets, rig)
    assert as_triangulated(dets, points, rig).hands == points.hands == ("1",)


def test_detections_of_other_hands_are_refused() -> None:
    rig, seen = take(2, hands=2)
    points, _ = triangulate_with_report(seen.detections, rig)
    one = replace(
        seen.detections,
        xy_px=seen.detections.xy_px[:, :, :1],
        conf=seen.detections.conf[:, :, :1],
        right=seen.detections.right[:, :, :1],
        hands=("right",),
    )
    with pytest.raises(InputError, match="sort into hands right"):
        as_triangulated(one, points, rig)
