"""The HTML report: whole, self-contained, small, and safe with any camera name."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from multiview.calib import report_html
from multiview.calib.provenance import board_tracks, rig_record, with_record
from multiview.core import Rig
from multiview.errors import ShapeError

sys.path.insert(0, str(Path(__file__).parent))
from calib_scenes import CHESS, film, ring
from test_assess import true_result

VOID = {"meta", "image", "br", "img"}


class Strict(HTMLParser):
    """Checks that every element is closed, and notes what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [given[k] for k in ("href", "src") if k in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def parse(page: str) -> Strict:
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    found = true_result(film(ring(rng, 4), CHESS, rng, 60))
    record = rig_record(found, program="multiview 0", date="2026-01-02T03:04:05Z", capture="cafe")
    return with_record(found, record)


def test_the_page_is_whole_and_needs_nothing_else(result):
    jpeg = {"cam1": b"\xff\xd8\xff\xe0 not a whole picture"}
    page = report_html(result, thumbnails=jpeg)
    parsed = parse(page)
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in parsed.links)
    assert {link[1:] for link in parsed.links if link[0] == "#"} <= set(parsed.ids)
    assert "url(" not in page
    assert "nan" not in re.sub(r"<script.*?</script>|base64,[^\"]*", "", page, flags=re.S).lower()
    for name in result.rig.names:
        assert page.count(name) > 5
    assert page.count("data:image/jpeg") == 1
    for text in ("2026-01-02", "multiview 0", "cafe", "What to film next"):
        assert text in page
    assert "Expected error in the volume" not in page


def test_the_scene_is_json_of_every_camera(result):
    page = report_html(result)
    scene = json.loads(re.search(r'id="rig3d-data">(.*?)</script>', page, re.S)[1])
    assert [c["n"] for c in scene["cameras"]] == list(result.rig.names)
    assert len(scene["boards"]) == 60
    far = max(np.linalg.norm(c["o"]) for c in scene["cameras"])
    assert far <= scene["radius"] * 1.001


def test_names_are_text_and_never_markup(result):
    evil = '</script><b onclick="x">&'
    cameras = (replace(result.rig.cameras[0], name=evil), *result.rig.cameras[1:])
    rig = replace(result.rig, cameras=cameras, world="<i>")
    corners = replace(result.corners, camera_names=rig.names)
    figures = (replace(result.cameras[0], name=evil), *result.cameras[1:])
    page = report_html(
        replace(
            result,
            rig=rig,
            boards=(replace(result.boards[0], corners=corners),),
            cameras=figures,
            warnings=("<u>look</u>",),
        )
    )
    parse(page)
    assert evil not in page
    assert "<u>" not in page
    assert "<b onclick" not in page


def test_expected_errors_are_drawn_when_given(result):
    asked = []

    def expected(xyz):
        asked.append(xyz)
        return np.full(len(xyz), 1.25)

    page = report_html(result, expected_error=expected)
    parse(page)
    assert "1.25 mm" in page
    corners = np.abs(asked[0]).max()
    assert asked[0].shape == (729, 3)
    assert corners < 3  # within the volume of the boards
    xyz = np.random.default_rng(0).normal(0, 0.2, (50, 3))
    given = report_html(result, expected_error=(xyz, np.linspace(0.5, 2, 50)))
    assert "Expected error in the volume" in given
    with pytest.raises(ShapeError, match="expected errors"):
        report_html(result, expected_error=(xyz, np.ones(49)))


def test_31_cameras_of_many_corners_stay_small():
    rng = np.random.default_rng(1)
    big = true_result(film(ring(rng, 31), CHESS, rng, 180))
    noise = rng.bytes(20_000)
    page = report_html(big, thumbnails={n: noise for n in big.rig.names})
    parse(page)
    assert len(page) < 3_000_000
    assert page.count('class="cam"') == 31


def test_one_camera_and_no_inlier_still_give_a_page(result):
    one = replace(
        result,
        rig=Rig(cameras=result.rig.cameras[:1]),
        boards=(
            replace(
                result.boards[0],
                corners=replace(
                    result.corners,
                    xy_px=result.corners.xy_px[:1],
                    camera_names=result.rig.names[:1],
                    sizes_wh=result.corners.sizes_wh[:1],
                ),
                residual_px=result.residual_px[:1],
                inlier=np.zeros_like(result.inlier[:1]),
            ),
        ),
        cameras=result.cameras[:1],
    )
    parse(report_html(one))


def test_tracks_and_record_say_what_was_found(result):
    (track,) = board_tracks(result)
    assert track.rig_digest == result.rig.digest
    assert len(track.frame_ids) == 60
    assert track.still is None
    made = result.rig.made
    assert made.cameras[2].name == result.cameras[2].name
    assert made.cameras[2].corners == result.cameras[2].corners
    assert made.boards == (CHESS.describe(),)


def frame_dots(page, name):
    """Dots of the plot over frames of a camera: those in line, and those in red at the top."""
    plot = re.search(f'aria-label="Errors of {name} by frame">(.*?)</svg>', page, re.S)[1]
    groups = re.findall(r'<g transform="scale\(.25\)">(.*?)</g>', plot)
    return [re.findall(r"M(-?\d+) (-?\d+)h0", g) for g in groups]


def test_a_camera_that_moved_stands_out_over_the_frames(result):
    good, bad = frame_dots(report_html(result), "cam1")
    assert len(good) + len(bad) == result.cameras[1].views
    assert len(good) > 0.9 * result.cameras[1].views
    residual = result.boards[0].residual_px.copy()
    residual[1, 40:] += 20 * result.cameras[1].noise_px
    moved = replace(result, boards=(replace(result.boards[0], residual_px=residual),))
    page = report_html(moved)
    good, bad = frame_dots(page, "cam1")
    seen = np.isfinite(result.boards[0].residual_px[1]).any((1, 2))
    assert len(bad) == seen[40:].sum() > 0
    # all of them to the right of all others, at the height of three times the noise
    assert min(int(x) for x, _ in bad) > max(int(x) for x, _ in good)
    assert {y for _, y in bad} == {"32"}
    assert not frame_dots(page, "cam2")[1]


def test_the_page_links_to_the_expected_error_where_it_has_one(result):
    assert "#volume" not in report_html(result)
    assert 'href="#volume"' in report_html(result, expected_error=lambda xyz: np.ones(len(xyz)))
