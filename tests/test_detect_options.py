"""Options of `multiview detect`: each is used where it means something, and refused elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview import cli
from multiview.verbs.detect import NAMES, VALID, Detect

PHOTOS = Path(__file__).parent / "data" / "photos"
PHOTO = PHOTOS / "2021-02-01_13-52-53_532.jpg"


@pytest.fixture
def places(tmp_path):
    """Something of every kind; nothing of it is read, the options are refused before."""
    black = np.zeros((48, 64, 3), np.uint8)
    for camera in ("a", "b"):
        (tmp_path / "take" / camera).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "take" / camera / "0.png"), black)
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    return {
        "photo": PHOTO,
        "photos": PHOTOS,
        "video": tmp_path / "clip.mp4",
        "camera": "93",
        "take": tmp_path / "take",
    }


VALUES = {
    "passes": ["--passes", "2"],
    "runtime": ["--runtime", "ort"],
    "provider": ["--provider", "cuda"],
    "small_hands": ["--small-hands"],
    "workers": ["--workers", "2"],
    "max_hands": ["--max-hands", "1"],
    "map": ["--map", "index4"],
    "smooth": ["--smooth"],
    "track": ["--track"],
    "no_track": ["--no-track"],
    "search_every": ["--search-every", "3"],
    "seconds": ["--seconds", "1"],
    "frames": ["--frames", "2"],
    "show": ["--show"],
    "parquet": ["--parquet"],
    "input": ["--input.sync", "index"],
    "rig": ["--rig", "rig.yaml"],
    "guided": ["--guided"],
    "format": ["--format", "openpose"],
    "images": ["--images", "i.json"],
    "keypoints": ["--keypoints", "own"],
    "trust_labels": ["--trust-labels"],
}
SPECIAL = {"source", "guide", "guide_detections", "reread"}  # say themselves what is to be done


def test_every_option_is_in_the_table():
    """So that a new one cannot be forgotten."""
    free = {"capture", "out", "force", "detector"}
    assert set(Detect.model_fields) == set(VALUES) | SPECIAL | free
    assert set(VALID) == set(NAMES)
    for valid in VALID.values():
        assert valid <= set(Detect.model_fields)
        assert free <= valid


def refused(capsys, tmp_path, *arguments):
    out = tmp_path / "result"
    code = cli.main(["detect", *map(str, arguments), "--out", str(out)])
    err = capsys.readouterr().err
    assert code == 2, err
    assert re.match("error: ", err)
    assert re.search(r"\n  next: \S", err)
    assert not out.exists()
    assert not out.with_name("result.partial").exists()
    return err


@pytest.mark.parametrize("kind", ["photo", "photos", "video", "camera", "take"])
def test_what_means_nothing_is_refused_before_any_work(kind, places, capsys, tmp_path):
    for name in set(VALUES) - VALID[kind]:
        err = refused(capsys, tmp_path, places[kind], *VALUES[name])
        option = VALUES[name][0].split(".")[0].removeprefix("--no-")
        assert f"{option} means nothing for {NAMES[kind]}" in err or (
            f"--{name.replace('_', '-')} means nothing for {NAMES[kind]}" in err
        )


@pytest.mark.parametrize(
    ("job", "what"),
    [
        (["--guide", "tri"], "a second pass"),
        (["--from", "kp", "--detector", "precomputed"], "keypoints of another program"),
    ],
)
def test_takes_of_another_kind(job, what, places, capsys, tmp_path):
    kind = "guide" if "--guide" in job else "precomputed"
    for name in set(VALUES) - VALID[kind]:
        err = refused(capsys, tmp_path, places["take"], *job, *VALUES[name])
        assert f"means nothing for {what}" in err


def test_several_are_named_at_once(places, capsys, tmp_path):
    err = refused(capsys, tmp_path, places["photo"], "--smooth", "--workers", "2")
    assert "--workers, --smooth mean nothing for a photo" in err
    assert "leave them out" in err


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("take", ["--search-every", "3"], "--search-every needs tracking"),
        ("take", ["--track", "--no-track"], "give one of them"),
        ("video", ["--no-track", "--search-every", "3"], "--search-every needs tracking"),
        ("video", ["--no-track", "--smooth"], "--smooth needs tracking"),
        ("video", ["--no-track", "--track"], "give one of them"),
    ],
)
def test_what_contradicts_itself(kind, arguments, words, places, capsys, tmp_path):
    assert words in refused(capsys, tmp_path, places[kind], *arguments)


@pytest.mark.parametrize(
    ("arguments", "every"),
    [([], 0), (["--track"], 1), (["--track", "--search-every", "5"], 5), (["--no-track"], 0)],
)
def test_takes_track_when_asked(arguments, every, places, tmp_path, monkeypatch):
    asked = []

    def detect(*_, search_every, **more):
        asked.append(search_every)
        raise KeyboardInterrupt

    monkeypatch.setattr("multiview.stages.detect.detect", detect)
    command = ["detect", places["take"], "--out", tmp_path / "o", "--input.sync", "index"]
    assert cli.main([*map(str, command), *arguments]) == 130
    assert asked == [every]


def test_help_says_what_the_defaults_are(capsys):
    with pytest.raises(SystemExit):
        cli.main(["detect", "--help"])
    text = " ".join(re.sub(r"[│|]", " ", capsys.readouterr().out).split())
    assert "off for takes" in text
    assert "always so for video and camera" in text
