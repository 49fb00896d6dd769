from dataclasses import replace

import numpy as np
import pytest

from multiview.core.samples import make_samples
from multiview.errors import InputError
from multiview.formats.samples_parquet import write_samples
from multiview.stages.review_folder import verdict_file
from multiview.stages.verified import verified_digest, verified_keypoints

FRAMES = (10, 11, 12)
VERDICTS = {10: "ok", 11: "bad", 12: "bad cam00"}


class Points:
    """The two hands of three frames that the labels were made of."""

    frame_ids = np.array(FRAMES)
    xyz_world = np.random.default_rng(0).normal(0, 1, (3, 2, 21, 3))


@pytest.fixture
def labels(tmp_path):
    """The second hand only, in two views; its first keypoint has no label in either."""
    rows = [(f, c) for f in range(3) for c in ("cam00", "cam01")]
    visibility = np.full((6, 21), 2)
    visibility[:, 0] = 0
    xy = np.random.default_rng(1).uniform(10, 90, (6, 21, 2))
    xy[:, 0] = np.nan
    samples = make_samples(
        xy_px=xy,
        visibility=visibility,
        image=[f"images/{c}/{f}.jpg" for f, c in rows],
        size_wh=[(100, 100)] * 6,
        right=np.ones(6),
        camera=[c for _, c in rows],
        frame_id=[FRAMES[f] for f, _ in rows],
    )
    xyz = np.stack([Points.xyz_world[f, 1] for f, _ in rows])
    folder = tmp_path / "labels"
    folder.mkdir()
    write_samples(replace(samples, xyz_world=xyz), folder / "samples.parquet")
    return folder


def judge(labels, verdicts):
    lines = [f"{f},{f}.jpg,,{verdict}" for f, verdict in verdicts.items()]
    verdict_file(labels).parent.mkdir(exist_ok=True)
    verdict_file(labels).write_text("\n".join(["frame,montage,worst_residual_px,verdict", *lines]))


def test_accepted_frames_are_right_rejected_ones_wrong_and_views_say_nothing(labels):
    judge(labels, VERDICTS)
    index, wrong = verified_keypoints(labels, Points)
    expected = [(f, 1, k) for f in (0, 1) for k in range(1, 21)]
    assert sorted(map(tuple, index.tolist())) == expected
    assert (wrong == (index[:, 0] == 1)).all()


def test_a_review_that_is_not_finished_is_no_fair_sample(labels):
    judge(labels, VERDICTS | {11: ""})
    with pytest.raises(InputError, match="1 frames wait"):
        verified_keypoints(labels, Points)


def test_labels_of_other_points_are_refused(labels):
    judge(labels, VERDICTS)
    other = type("Other", (), {"frame_ids": Points.frame_ids, "xyz_world": Points.xyz_world + 1e-6})
    with pytest.raises(InputError, match="other points"):
        verified_keypoints(labels, other)


def test_another_verdict_is_another_input(labels):
    judge(labels, VERDICTS)
    before = verified_digest(labels)
    judge(labels, VERDICTS | {10: "bad"})
    assert verified_digest(labels) != before


def test_a_folder_without_verdicts_is_refused(labels):
    assert verified_digest(labels) == "none"
    with pytest.raises(InputError, match="wait for a verdict"):
        verified_keypoints(labels, Points)
