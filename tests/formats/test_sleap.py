"""SLEAP files; genuine ones of sleap-io are in tests/data/precomputed."""

from __future__ import annotations

import numpy as np
from keypoint_files import (
    DATA,
    needs_h5py,
    needs_sleap,
)

from multiview.core import HAND_21
from multiview.precomputed import read_precomputed


@needs_sleap
def test_sleap_hand_by_names() -> None:
    import sleap_io

    dets = read_precomputed(DATA / "cam00.slp")
    labels = sleap_io.load_slp(str(DATA / "cam00.slp"), open_videos=False)
    assert (dets.camera_names, dets.skeleton) == (("cam00",), HAND_21)
    assert dets.frame_ids.tolist() == [0, 1, 3]
    names = list(labels.skeleton.node_names)
    first = labels[0].predicted_instances[0].numpy(scores=True)
    for ours, theirs in (("wrist", "wrist"), ("ring3", "ring_finger_dip"), ("thumb2", "thumb_mcp")):
        k, at = HAND_21.keypoints.index(ours), names.index(theirs)
        np.testing.assert_array_equal(dets.xy_px[0, 0, 0, k], first[at, :2])
    assert dets.conf[0, 2, 0].tolist() == [1] * 21  # placed by hand, instead of the prediction
    assert not dets.valid[0, :, 1].any()


@needs_sleap
def test_sleap_tracks_and_bones() -> None:
    import sleap_io

    dets = read_precomputed(DATA / "own.slp")
    labels = sleap_io.load_slp(str(DATA / "own.slp"), open_videos=False)
    assert dets.hands == ("a", "b")
    assert dets.skeleton.edges == ((0, 1), (0, 2))
    for h, instance in enumerate(labels[1].predicted_instances):
        np.testing.assert_array_equal(dets.xy_px[0, 1, h], instance.numpy())


@needs_h5py
def test_sleap_analysis_file() -> None:
    import h5py

    dets = read_precomputed(DATA / "own.analysis.h5")
    assert (dets.camera_names, dets.hands) == (("own",), ("a", "b"))
    assert dets.frame_ids.tolist() == [0, 1, 2, 3]
    assert dets.skeleton.edges == ((0, 1), (0, 2))
    with h5py.File(DATA / "own.analysis.h5") as file:
        np.testing.assert_array_equal(dets.xy_px[0, 1, 1], file["tracks"][1, :, :, 1].T)
        np.testing.assert_array_equal(
            dets.conf[0, 0, 0][dets.valid[0, 0, 0]],
            file["point_scores"][0, :, 0][dets.valid[0, 0, 0]],
        )


@needs_h5py
@needs_sleap
def test_both_sleap_files_say_the_same() -> None:
    slp, h5 = read_precomputed(DATA / "own.slp"), read_precomputed(DATA / "own.analysis.h5")
    np.testing.assert_array_equal(h5.xy_px[:, slp.frame_ids][:, :2], slp.xy_px[:, :2])
