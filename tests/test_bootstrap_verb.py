"""The loop by the real command, with a trainer that gives the shipped lite network back.

Torch is not needed: what is tested is that rounds are made, judged, resumed and refused rightly.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from loop_footage import PATIENCE_S, command, kill_in_new_stage, make_footage, plan, run

from multiview.formats.datasets import load_dataset
from multiview.stage import file_digest
from multiview.stages.held_out import changes_sheet, read_score
from multiview.stages.loop_config import LoopConfig


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return make_footage(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def finished(footage, tmp_path_factory):
    path = plan(footage, tmp_path_factory.mktemp("whole"))
    done = run(path)
    assert done.returncode == 0, done.stderr
    return path.parent / "runs" / "run", done.stdout


def test_two_rounds_are_made_judged_and_kept(finished):
    out, said = finished
    first, last = (np.load(out / f"round-{n}" / "held-out" / "hands.npz") for n in (0, 2))
    # the same network is worth the same, whatever its card is called
    np.testing.assert_array_equal(first["crop_error"], last["crop_error"])
    assert (first["crop_error"] < 0.2).mean() > 0.8
    assert "round 0 is the best" in said
    report = (out / "report.md").read_text()
    assert "| **0** | mediapipe-lite |" in report
    assert "| 2 | round-2/train/mine.yaml |" in report
    labels = report[report.index("| round | take |") :]
    assert re.search(r"\| 2 \| kitchen \|.*\| \d+ \| \d+\.\d% \|\n", labels)
    assert "| 2 | kitchen |" in labels
    assert " - |" not in labels


def test_the_sheet_of_changes_shows_what_changed(footage, finished, tmp_path):
    out, _ = finished
    # the same network changes nothing
    assert cv2.imread(str(out / "round-1" / "changes.jpg")).shape[0] < 400
    before = read_score(out / "round-0" / "held-out")
    moved = before.crop_error.copy()
    moved[0] += 0.3
    after = replace(before, crop_error=moved)
    sheet = changes_sheet(before, after, footage / "held_out", tmp_path / "one.jpg")
    height, width = cv2.imread(str(sheet)).shape[:2]
    assert height > 400 > width  # before and after of one hand


def test_labels_say_which_round_and_take_made_them(finished):
    out, _ = finished
    samples = load_dataset(out / "round-2" / "dataset").samples
    assert set(samples.round.tolist()) == {2}
    assert set(samples.session.tolist()) == {"kitchen"}
    assert set(samples.subject.tolist()) == {"anna"}
    assert set(samples.source.tolist()) == {"mine+guided"}
    assert len(samples) >= 8  # two frames of four views at least
    assert (samples.n_inlier[samples.labelled] >= 3).all()
    # hard views are labelled by the others
    assert (samples.visibility == 1).any()


def test_a_finished_run_is_not_run_again(finished):
    out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}
    done = run(out.parent.parent / "run.yaml")
    assert done.returncode == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")} == before
    assert "trainer:" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_run_killed_in_every_stage_ends_the_same(footage, finished, tmp_path):
    """Kill -9 whenever a stage is met that was not killed yet; then let it finish."""
    path, killed = plan(footage, tmp_path, rounds=1), set()
    out = tmp_path / "runs" / "run"
    for _ in range(30):
        child = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, start_new_session=True)
        if not kill_in_new_stage(child, out, killed):
            break
    assert child.returncode == 0
    assert {"detect", "guide", "triangulate", "held-out"} <= killed, killed
    whole, _ = finished
    for name in ("dataset", "kitchen/labels"):
        mine = load_dataset(out / "round-1" / name).samples
        assert mine.digest == load_dataset(whole / "round-1" / name).samples.digest
    figures = [
        json.loads((o / "round-1" / "held-out" / "manifest.json").read_text())["figures"]
        for o in (out, whole)
    ]
    assert figures[0] == figures[1]


def test_review_waits_for_a_person_and_drops_what_is_bad(footage, tmp_path):
    path = plan(footage, tmp_path, rounds=1)
    done = run(path, "--review")
    assert done.returncode == 0
    review = tmp_path / "runs" / "run" / "round-1" / "kitchen" / "labels.review"
    assert "wait for a verdict" in done.stdout
    assert str(review / "verdicts.csv") in done.stdout
    assert f"multiview review {review.with_name('labels')}" in done.stdout
    assert not (review.parent.parent / "dataset").exists()
    rows = list(csv.DictReader((review / "verdicts.csv").open()))
    assert len(rows) >= 2
    assert cv2.imread(str(review / rows[0]["montage"])).shape[1] > 400
    bad, view, *rest = rows
    on_the_page(tmp_path / "runs" / "run", [("reject", 0, ""), ("view", 1, "cam02")])
    done = run(path, "--review")
    assert f"{len(rest)} frames of" in done.stdout  # they were kept, and the others wait
    rows = list(csv.DictReader((review / "verdicts.csv").open()))
    assert [r["verdict"] for r in rows[:3]] == ["bad", "bad cam02", ""]
    write(review / "verdicts.csv", rows[:2] + [r | {"verdict": "ok"} for r in rows[2:]])
    done = run(path, "--review")
    assert done.returncode == 0, done.stderr
    samples = load_dataset(review.parent.parent / "dataset").samples
    assert int(bad["frame"]) not in samples.frame_id
    of_view = samples.camera[samples.frame_id == int(view["frame"])]
    assert len(of_view)
    assert "cam02" not in of_view
    write(review / "verdicts.csv", [r | {"verdict": "bad cam99"} for r in rows])
    done = run(path, "--review")
    assert done.returncode == 2
    assert "no labelled camera is called 'cam99'" in done.stderr
    # other labels are not those that the verdicts are about
    (review / "labels.sha256").write_text("others")
    done = run(path, "--review")
    assert done.returncode == 2
    assert "labels that have changed since" in done.stderr
    samples_file = review.with_name("labels") / "samples.parquet"
    (review / "labels.sha256").write_text(file_digest(samples_file))
    # another verdict makes another dataset: said, not done silently
    write(review / "verdicts.csv", [r | {"verdict": "ok"} for r in rows])
    done = run(path, "--review")
    assert done.returncode == 2
    assert "other labels or verdicts" in done.stderr


def on_the_page(folder, said):
    """Give verdicts as the page does, and kill its server at once."""
    server = subprocess.Popen(
        [sys.executable, "-m", "multiview", "review", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    url = next(line.strip() for line in server.stdout if "http://" in line)
    presses = [
        {"name": f"p{place}", "deed": deed, "places": [place], "camera": camera}
        for deed, place, camera in said
    ]
    body = json.dumps({"since": [0], "presses": presses}).encode()
    with urllib.request.urlopen(url + "press", body, timeout=PATIENCE_S) as reply:
        assert len(json.load(reply)["verdicts"]) == len(said)
    server.kill()
    server.wait()
    server.stdout.close()


def write(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"held_out": "nowhere"}, "error: held_out: /"),
        ({"start": "nowhere"}, "error: start: /"),
        ({"trainer": None, "init": "nowhere.yaml"}, "nowhere.yaml: no such start"),
        ({"rouns": 2}, "did you mean 'rounds'"),
        ({"detector": "start"}, "needs a start set"),
        ({"trainer": "true {dataset}"}, "{out}"),
        ({"trainer": "nowhere {dataset} {out}"}, "trainer nowhere: there is no such program"),
        ({"trainer_format": "yoloo"}, "there is no layout 'yoloo'"),
        ({"select": {"risk": {"model": "nowhere.yaml"}}}, "nowhere.yaml"),
        ({"train": {"validation": 0.3}}, "give validation beside it"),
        ({"takes": []}, "takes"),
        ({"takes": [{"capture": "nowhere", "rig": "rig.yaml"}]}, "nowhere"),
        ({"takes": [{"capture": "a", "rig": "b", "name": "dataset"}]}, "has such a folder"),
        ({"ransac": {"max_hands": 4}}, "max_hands: 2 in a picture"),
        ({"train_finder": True, "train": {"arch": "light"}}, "train_finder goes with"),
        (
            {"train_finder": True, "trainer": None, "finder": {"arch": "cpm"}},
            "finder.arch",
        ),
        (
            {"train_finder": True, "trainer": None, "init": "old/checkpoint.pt"},
            "a checkpoint of one network",
        ),
    ],
)
def test_bad_plans_are_refused_before_anything_is_done(footage, tmp_path, changed, expected):
    path = plan(footage, tmp_path, **changed)
    done = run(path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").rglob("*.parquet"))


def test_a_missing_rig_is_said_before_anything_is_done(footage, tmp_path):
    take = yaml.safe_load(plan(footage, tmp_path).read_text())["takes"][0]
    path = plan(footage, tmp_path, takes=[take | {"rig": "gone.yaml"}])
    done = run(path)
    assert done.returncode == 2
    assert "gone.yaml" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_round_without_labels_says_of_which_take_and_why(footage, finished, tmp_path):
    whole, _ = finished
    path = plan(footage, tmp_path, select={"min_inliers": 9})
    shutil.copytree(whole / "round-0", tmp_path / "runs" / "run" / "round-0")
    target = tmp_path / "runs" / "run" / "round-1" / "kitchen"
    for name in ("detect", "triangulate", "guide", "triangulate-guided"):
        shutil.copytree(whole / "round-1" / "kitchen" / name, target / name)
    done = run(path)
    assert done.returncode == 2
    assert "take kitchen, round 1: no label passes" in done.stderr
    assert "lower --select.min-inliers" in done.stderr
    assert not (target / "labels").exists()


@pytest.mark.parametrize(
    ("script", "expected"),
    [("import sys; sys.exit(3)", "exit code 3"), ("pass", "one card")],
)
def test_a_trainer_that_fails_says_so_and_nothing_is_lost(
    footage, finished, tmp_path, script, expected
):
    whole, _ = finished
    broken = tmp_path / "broken.py"
    broken.write_text(script)
    path = plan(footage, tmp_path, trainer=f"{sys.executable} {broken} {{dataset}} {{out}}")
    shutil.copytree(whole / "round-0", tmp_path / "runs" / "run" / "round-0")
    for name in ("detect", "triangulate", "guide", "triangulate-guided", "labels"):
        target = tmp_path / "runs" / "run" / "round-1" / "kitchen" / name
        shutil.copytree(whole / "round-1" / "kitchen" / name, target)
    done = run(path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert (tmp_path / "runs" / "run" / "round-1" / "dataset" / "samples.parquet").exists()
    assert not (tmp_path / "runs" / "run" / "round-1" / "train").exists()


@pytest.mark.parametrize("finder", [False, True])
def test_the_finder_is_trained_first_and_both_share_a_card(footage, tmp_path, monkeypatch, finder):
    """Of the loop's own part: `tests/test_train_stage.py` trains such a pair."""
    from multiview.stages import bootstrap
    from multiview.stages.bootstrap import _Loop

    path = plan(footage, tmp_path, trainer=None, train_finder=finder)
    loop = object.__new__(_Loop)
    loop.config = LoopConfig.model_validate(yaml.safe_load(path.read_text()))
    loop.force, loop.cards, loop.datasets, calls = False, ["mediapipe-lite"], [], []
    data = SimpleNamespace(folder=tmp_path, hands="hands", held="held", digests={})
    monkeypatch.setattr(bootstrap, "run_round_dataset", lambda *args, **given: data)

    def train(hands, digests, out, config, **given):
        assert (hands, given["held"]) == ("hands", "held")
        calls.append((out.name, config.arch, given["partner"]))

    monkeypatch.setattr(bootstrap, "train_hands", train)
    card = loop._train(tmp_path, [], "round-1")
    assert card == str(tmp_path / "train" / "round-1.yaml")
    first = str(tmp_path / "finder" / "round-1.yaml")
    both = [("finder", "palm", None), ("train", "mediapipe", first)]
    assert calls == (both if finder else [("train", "mediapipe", None)])
