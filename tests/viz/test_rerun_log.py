"""The recording for rerun: complete, readable by rerun itself, a clear word where it is missing."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
from viz_scenes import FRAMES, small_scene, small_take

from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.viz import rerun_layout, rerun_log, rerun_video
from multiview.viz.colours import CERTAINTY
from multiview.viz.rerun_video import av1
from multiview.viz.scene import scene_blocks

SEQUENCE_HEADER = 0x0A  # an open bitstream unit of AV1 of this kind, with a size


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(InputError, match=r"\[view\]"):
        rerun_log.require_rerun()


def test_each_picture_of_a_film_becomes_one_packet_in_order():
    rng = np.random.default_rng(0)
    film = [(f, rng.integers(0, 255, (91, 121, 3)).astype(np.uint8)) for f in range(0, 80, 2)]
    packets = list(av1(iter(film)))
    assert [f for f, _ in packets] == list(range(0, 80, 2))
    assert SEQUENCE_HEADER in packets[0][1][:4]  # rerun asks for it in every key picture
    codec = av.CodecContext.create("libdav1d", "r")
    pictures = [p for _, data in packets for p in codec.decode(av.Packet(data))]
    pictures += codec.decode(None)
    assert [(p.width, p.height) for p in pictures] == [(120, 90)] * 40


def test_no_encoder_for_video_is_said(monkeypatch):
    monkeypatch.setattr(rerun_video, "ENCODER", "none_such")
    with pytest.raises(InputError, match="--images jpeg"):
        list(av1(iter([(0, np.zeros((90, 120, 3), np.uint8))])))


def test_confidence_goes_from_blue_to_orange_and_fingers_have_their_own():
    scene = small_scene()
    sigma = np.full((1, 1, 21), 1.0)
    sigma[0, 0, :3] = 0.01, 100.0, np.nan
    log = rerun_log._Log(rr=None, rec=None, scene=scene, paths=None, colour="confidence", sigma=1.0)
    colours = rerun_log._colours(log, sigma)[0, 0].tolist()
    assert colours[:4] == [list(CERTAINTY[i]) for i in (0, 2, 2, 1)]
    for other in (replace(log, colour="finger"), replace(log, sigma=float("nan"))):
        assert rerun_log._colours(other, sigma)[0, 0].tolist() == [
            list(c) for c in scene.skeleton.colors
        ]


def test_the_first_frame_with_a_hand_and_its_place_are_found():
    _, points, _ = small_take()

    def look(hidden):
        xyz = points.xyz_world.copy()
        xyz[:hidden] = np.nan
        late = replace(points, xyz_world=xyz)
        return rerun_log._look(small_scene(blocks=lambda: scene_blocks(late, None, 5)))

    block, stage, _ = look(7)
    assert (block.start, stage.first) == (5, int(points.frame_ids[7]))
    spread = np.linalg.norm(points.xyz_world[7:10] - stage.target, axis=-1)
    assert np.nanmin(spread) < stage.reach < 0.2
    assert look(0)[1].first is None  # the first frame of all
    assert np.isfinite(look(FRAMES)[1].target).all()


@pytest.mark.parametrize(("views", "tabs"), [(4, 0), (9, 0), (10, 2), (31, 4)])
def test_views_of_large_rigs_are_in_tabs(views, tabs):
    rr = pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install .[view])")
    import rerun.blueprint as rrb

    scene = SimpleNamespace(rig=SimpleNamespace(names=[f"c {n}" for n in range(views)]))
    got = rerun_layout._views(rrb, scene, rerun_layout.Paths(rr))
    assert isinstance(got, rrb.Tabs if tabs else rrb.Grid)
    if tabs:
        sizes = [len(g.contents) for g in got.contents]
        assert (len(sizes), sum(sizes)) == (tabs, views)
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("images", ["video", "jpeg", "none"])
def test_rerun_reads_the_recording(tmp_path, images):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install .[view])")
    path = tmp_path / "run.rrd"
    rig = small_take()[2]
    odd = replace(rig.cameras[0], name="left cam/1")  # rerun's paths have rules of their own
    scene = small_scene(rig=replace(rig, cameras=(odd, *rig.cameras[1:])))
    rerun_log.write_recording(scene, path, images)
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vv", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    for part in (
        "hands/right/bones",
        "cam03/image/residuals",
        "residual_px/left\\ cam\\/1",
        "summary/residual_px/worst",
        "inliers/cam02",
    ):
        assert part in done.stdout
    kinds = {"video": "VideoStream:sample", "jpeg": "EncodedImage:blob"}
    assert {k for k, word in kinds.items() if word in done.stdout} == {images} - {"none"}
    assert f"{FRAMES - 1}" in done.stdout


def test_a_skeleton_without_bones_is_written(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (pip install .[view])")
    dots = replace(HAND_21, name="dots", edges=())
    scene = small_scene(skeleton=dots, pictures=False)
    rerun_log.write_recording(scene, tmp_path / "run.rrd", colour="confidence")
    assert (tmp_path / "run.rrd").stat().st_size > 1000
