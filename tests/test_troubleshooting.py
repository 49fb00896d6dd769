"""Every message on the page of troubles is what the program says today, and every case is on it."""

import contextlib
import errno
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from multiview.cli import main
from multiview.core import HAND_21, Detections
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.stages.demo import demo_data

sys.path.insert(0, str(Path(__file__).parent))
from demo_take import cut_take
from doc_blocks import ROOT, blocks
from test_cli_bad_input import make_board_film

PAGE = ROOT / "docs" / "troubleshooting.md"
SETS = 6
BOARD = "calib/boards/charuco_7x5_30mm.yaml"
RIG = "experiments/rig/rig.yaml"
CALIBRATE = "calibrate captures/film/take --out out/rig"
TRIANGULATE = f"triangulate experiments/take01/detect --rig {RIG} --out"
LABEL = "label captures/take01 --detections experiments/take01/detect --points"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with a take, its true rig, detections that lie on the truth, and their 3D."""
    lab = tmp_path_factory.mktemp("troubles") / "lab"
    assert main(["init", str(lab)]) == 0
    cut_take(lab / "captures" / "take01", SETS)
    rig = read_rig(demo_data() / "rig_truth.yaml")
    with np.load(demo_data() / "truth.npz") as truth:
        hand = truth["xyz_world"][:SETS]
    xyz = np.stack([np.full_like(hand, np.nan), hand], axis=1)
    xy = rig.project(xyz) + np.random.default_rng(1).normal(0, 1, (8, SETS, 2, 21, 2))
    conf = np.where(np.isfinite(xy).all(-1), 0.9, 0.0)
    dets = Detections(
        xy_px=xy,
        conf=conf,
        camera_names=rig.names,
        frame_ids=np.arange(SETS),
        times=np.broadcast_to(np.arange(SETS) / 30, xy.shape[:2]).copy(),
        skeleton=HAND_21,
        source="truth",
        right=np.where(conf.any(-1), [0.0, 1.0], np.nan),
    )
    (lab / "experiments" / "rig").mkdir(parents=True)
    write_rig(rig, lab / RIG)
    (lab / "experiments" / "take01" / "detect").mkdir(parents=True)
    write_detections(dets, lab / "experiments" / "take01" / "detect" / "detections.parquet")
    with contextlib.chdir(lab):
        assert main([*TRIANGULATE.split(), "experiments/take01/tri"]) == 0
    return lab


def nothing_to_do() -> None:
    """The command alone is wrong."""


def empty_folder() -> None:
    Path("captures/take02").mkdir()


def camera_named_but_absent() -> None:
    Path("captures/take01/capture.yaml").write_text(
        "cameras:\n  cam00: {path: cam00.mp4}\n  cam01: {path: left/cam01.mp4}\n"
    )


def cut_short() -> None:
    film = Path("captures/take01/cam03.mp4")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])


def clocks_apart() -> None:
    names = sorted(p.stem for p in Path("captures/take01").glob("*.mp4"))
    lines = [f"  {n}: {{path: {n}.mp4, offset_s: {60 * (n == 'cam03')}}}" for n in names]
    Path("captures/take01/capture.yaml").write_text("\n".join(["cameras:", *lines]) + "\n")


def pictures_without_times() -> None:
    for camera in ("cam00", "cam01"):
        folder = Path("captures/take02") / camera
        folder.mkdir(parents=True)
        for n in range(3):
            shutil.copyfile(ROOT / "docs" / "images" / "view-mosaic.jpg", folder / f"{n}.jpg")


def board_film(seen: dict[str, object]) -> None:
    film = make_board_film(Path("captures/film"), seen)
    shutil.copyfile(film.parent / "board.yaml", "board.yaml")


def unseen_board() -> None:
    board_film({"cam00": range(20), "cam01": ()})


def two_groups() -> None:
    board_film({"cam00": range(10), "cam01": range(10), "cam02": range(10, 20)})


def misspelt_key() -> None:
    board_film({"cam00": range(1), "cam01": range(1)})
    text = Path(BOARD).read_text().replace("square_m", "sqare_m")
    Path(BOARD).write_text(text)


def rig_without_a_camera() -> None:
    rig = read_rig(RIG)
    write_rig(rig.select(rig.names[:-1]), Path(RIG))


def other_rig_size() -> None:
    text = Path(RIG).read_text().replace("[640, 480]", "[1280, 960]")
    Path(RIG).write_text(text)


def without(*modules: str):
    """Let modules be missing."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        for name in modules:
            patch.setitem(sys.modules, name, None)

    return spoil


def full_disk(patch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "fsync", fsync)


def broken_network() -> None:
    shutil.copytree(ROOT / "multiview" / "models" / "data", "models", dirs_exist_ok=True)
    card = Path("models/mediapipe-lite.yaml")
    Path("models/mine.yaml").write_text(
        card.read_text().replace("name: mediapipe-lite", "name: mine")
    )
    network = Path("models/hand_landmark_lite.onnx")
    network.write_bytes(network.read_bytes()[:-1000])


def plan_without_held_out() -> None:
    Path("run.yaml").write_text(
        f"takes:\n  - {{capture: captures/take01, rig: {RIG}}}\nheld_out: data/held_out\n"
    )


def half_finished() -> None:
    Path("experiments/take02/tri.partial").mkdir(parents=True)


# What is done to the workspace, and the command that then stops.
CASES = {
    "no such take": (nothing_to_do, "detect captures/take02 --out out/detect"),
    "no cameras": (empty_folder, "detect captures/take02 --out out/detect"),
    "camera absent": (camera_named_but_absent, "detect captures/take01 --out out/detect"),
    "cut short": (cut_short, "detect captures/take01 --out out/detect"),
    "clocks": (clocks_apart, "detect captures/take01 --out out/detect"),
    "no times": (pictures_without_times, "detect captures/take02 --out out/detect"),
    "board unseen": (unseen_board, f"{CALIBRATE} --board board.yaml"),
    "two groups": (two_groups, f"{CALIBRATE} --board board.yaml"),
    "misspelt key": (misspelt_key, f"{CALIBRATE} --board {BOARD}"),
    "no camera in rig": (rig_without_a_camera, f"{TRIANGULATE} out/tri"),
    "other picture size": (
        other_rig_size,
        f"detect captures/take01 --rig {RIG} --out out/detect",
    ),
    "given twice": (nothing_to_do, f"{TRIANGULATE} out/tri --out out/tri2"),
    "not a truth": (
        nothing_to_do,
        f"evaluate experiments/take01/tri --truth {RIG}",
    ),
    "stale": (nothing_to_do, f"{TRIANGULATE} experiments/take01/tri --ransac.inlier-mm 8"),
    "no stage": (nothing_to_do, f"{LABEL} experiments/take01/detect --out out/label"),
    "half-finished": (half_finished, "view experiments/take02/tri --html take02.html"),
    "no labels": (
        nothing_to_do,
        f"{LABEL} experiments/take01/tri --out out/label --select.min-confidence 0.95",
    ),
    "no card": (nothing_to_do, "detect captures/take01 --detector hnad --out out/detect"),
    "broken network": (broken_network, "models check mine"),
    "no labels to review": (nothing_to_do, "review experiments/take01/tri"),
    "no held-out": (plan_without_held_out, "bootstrap run.yaml"),
    "no open3d": (without("open3d"), "view experiments/take01/tri --backend open3d"),
    "rig in a window": (nothing_to_do, "view experiments/rig --backend open3d"),
    "no ezc3d": (without("ezc3d"), "export experiments/take01/tri --format c3d --out a.c3d"),
    "no rerun": (without("rerun", "rerun.blueprint"), "view experiments/take01/tri --no-show"),
    "no torch": (without("torch"), "train experiments/take01/label --out models/mine"),
    "no onnxruntime": (
        without("onnxruntime"),
        "detect captures/take01 --runtime ort --out out/detect",
    ),
    "disk full": (full_disk, f"{TRIANGULATE} out/tri"),
    "no verb": (nothing_to_do, "triangulat experiments/take01/detect"),
    "no meaning": (nothing_to_do, "detect captures/take01 --map index4 --out out/detect"),
}


def message_of(case: str, lab: Path, patch: pytest.MonkeyPatch, capsys) -> str:
    spoil, command = CASES[case]
    with contextlib.chdir(lab):
        spoil(patch) if spoil.__code__.co_argcount else spoil()
        capsys.readouterr()
        assert main(command.split()) == 2, capsys.readouterr()
    said = capsys.readouterr().err
    return said.replace(str(lab.resolve()), "/home/me/lab")


def plain(message: str) -> str:
    """Without figures, which depend on the machine's libraries."""
    return re.sub(r"\d+(\.\d+)?", "0", message.strip())


@pytest.mark.parametrize("case", CASES)
def test_message_is_on_the_page(case, workspace, tmp_path, monkeypatch, capsys):
    shutil.copytree(workspace, tmp_path / "lab")
    said = message_of(case, tmp_path / "lab", monkeypatch, capsys)
    shown = [plain(b.body) for b in blocks(PAGE) if b.language == "text"]
    assert plain(said) in shown, f"docs/troubleshooting.md does not show:\n{said}"


def test_every_message_on_the_page_has_a_case():
    shown = [b for b in blocks(PAGE) if b.language == "text"]
    assert len({plain(b.body) for b in shown}) == len(shown) == len(CASES)
