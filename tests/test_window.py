"""The window of Open3D: real keys on a screen in memory (Xvfb), and what it says of lacks."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent / "viz"))
from viz_scenes import FRAMES, small_take

import multiview as mv
from multiview.cli import main
from multiview.core import Points3D, Rig
from multiview.errors import InputError
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.stages import window

XVFB, XDOTOOL = shutil.which("Xvfb"), shutil.which("xdotool")
MISSING = [
    *([] if importlib.util.find_spec("open3d") else ["open3d (pip install .[open3d])"]),
    *([] if XVFB else ["Xvfb (apt-get install xvfb libgl1-mesa-dri)"]),
    *([] if XDOTOOL else ["xdotool (apt-get install xdotool)"]),
]
needs_window = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
WIDTH, HEIGHT = 1400, 900


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    root = tmp_path_factory.mktemp("window")
    dets, points, rig = small_take()
    for name in ("detect", "triangulate"):
        (root / name).mkdir()
    write_detections(dets, root / "detect" / "detections.parquet")
    write_points(points, root / "triangulate" / "points.parquet")
    write_rig(rig, root / "triangulate" / "rig.yaml")
    made = '{"stage": "triangulate", "inputs": {}, "figures": {"detections": "../detect/'
    (root / "triangulate" / "manifest.json").write_text(made + 'detections.parquet"}}')
    return root / "triangulate"


class Screen:
    """A screen in memory."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.file = name, folder / "Xvfb_screen0"
        self.env = {**os.environ, "DISPLAY": name}

    def key(self, *keys: str) -> None:
        """Press and release keys, one after the other, as a person does."""
        for key in keys:
            subprocess.run([str(XDOTOOL), "key", key], env=self.env, check=True, timeout=20)
            time.sleep(0.15)

    def picture(self) -> np.ndarray:
        """Pixels as the X server holds them: an XWD file, BGRX after its header."""
        raw = self.file.read_bytes()
        return np.frombuffer(raw, np.uint8)[-WIDTH * HEIGHT * 4 :].reshape(HEIGHT, WIDTH, 4)

    def settled(self, old: np.ndarray | None = None) -> np.ndarray:
        """Wait for a picture that is not the old one and stays."""
        end, last = time.monotonic() + 60, self.picture()
        while time.monotonic() < end:
            time.sleep(0.4)
            now = self.picture()
            if (now == last).all() and now.any() and (old is None or (now != old).any()):
                return now
            last = now.copy()
        raise AssertionError("the window does not come to rest")


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    folder = tmp_path_factory.mktemp("xvfb")
    read, write = os.pipe()
    size = ["-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", str(folder)]
    command = [str(XVFB), "-displayfd", str(write), "-nolisten", "tcp", *size]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()
    try:
        yield Screen(f":{number}", folder)
    finally:
        server.terminate()
        server.wait(20)


def started(screen: Screen, run: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "multiview", "view", str(run), "--backend", "open3d"]
    return subprocess.Popen(
        [*command, *options],
        env=screen.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def coloured(picture: np.ndarray) -> int:
    """Pixels of the hands: the rest of the window but its legend and bar is grey."""
    middle = picture[HEIGHT // 8 : 3 * HEIGHT // 4, :, :3].astype(int)
    return int((np.ptp(middle, axis=-1) > 80).sum())


@needs_window
def test_keys_move_through_the_take_and_colour_the_hand(screen: Screen, run: Path) -> None:
    process = started(screen, run, "--frame", "2")
    try:
        first = screen.settled()
        assert coloured(first) > 30
        screen.key("z")
        close = screen.settled(first)
        assert coloured(close) > 20 * coloured(first)
        screen.key("Right", "Right", "Left")  # 3
        third = screen.settled(close)
        screen.key("c")
        assert (screen.settled(third) != third).any()
        screen.key("shift+Left", "shift+Right", "Right")  # 0, 10, 11
        screen.key("q")
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "closed at frame 11" in said
    assert float(re.search(r"first picture after ([\d.]+) s", said)[1]) < 60


@needs_window
def test_a_run_plays_by_itself_until_it_is_paused(screen: Screen, run: Path) -> None:
    process = started(screen, run)
    try:
        end, seen = time.monotonic() + 60, []
        while time.monotonic() < end and len(seen) < 4:
            now = screen.picture().copy()
            if coloured(now) and not any((now == old).all() for old in seen):
                seen.append(now)
            time.sleep(0.05)
        assert len(seen) == 4
        screen.key("space")
        screen.settled()
        screen.key("End", "q")
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert f"closed at frame {FRAMES - 1}" in said


@needs_window
def test_without_opengl_and_without_an_answer_it_says_so(screen: Screen, run: Path) -> None:
    for changed, words in (
        ({"LIBGL_DRIVERS_PATH": "/nonexistent"}, "OpenGL"),
        ({"DISPLAY": ":98765"}, "does not answer"),
    ):
        command = [sys.executable, "-m", "multiview", "view", str(run), "--backend", "open3d"]
        done = subprocess.run(
            command, env=screen.env | changed, capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert "--html" in done.stderr
        assert "Traceback" not in done.stderr


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_what_is_missing_is_said_before_a_window_is_tried(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["view", str(run), "--backend", "open3d"]
    monkeypatch.setattr(window, "find_spec", lambda name: None)
    assert "[open3d]" in refusal(given, capsys)
    monkeypatch.setattr(window, "find_spec", lambda name: name)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "DISPLAY is not set" in refusal(given, capsys)
    monkeypatch.setenv("DISPLAY", ":0")
    assert f"the take has {FRAMES}" in refusal([*given, "--frame", str(FRAMES)], capsys)
    assert "--images means nothing" in refusal([*given, "--images", "none"], capsys)
    assert "--frame means nothing" in refusal(["view", str(run), "--frame", "1"], capsys)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import sys; print('no luck'); sys.exit(3)", "no luck"),
        ("import sys; sys.exit(0)", "it said nothing"),
    ],
)
def test_a_window_that_dies_is_an_error_and_not_the_end_of_the_program(
    run: Path,
    body: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = subprocess.run

    def other(command: list[str], **options: object) -> object:
        return plain([sys.executable, "-c", body], **options)

    monkeypatch.setattr(window, "check_window", lambda: None)
    monkeypatch.setattr(window.subprocess, "run", other)
    message = refusal(["view", str(run), "--backend", "open3d"], capsys)
    assert words in message
    assert "driver" in message


def test_show_writes_a_page_of_what_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    dets, points, rig = small_take()
    page = mv.show(points, rig, dets=dets, out=tmp_path / "a.html")
    assert page == tmp_path / "a.html"
    assert opened == [page.resolve().as_uri()]
    assert '"title":"multiview/points"' in page.read_text(encoding="utf-8")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    kept = mv.show(points, rig)
    assert kept is not None
    assert kept.stat().st_size > 10_000
    assert len(opened) == 1  # no screen: a browser for the terminal would take it over
    shutil.rmtree(kept.parent)


def test_show_refuses_what_does_not_belong_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, points, rig = small_take()
    wrong: list[tuple[Points3D, Rig, dict[str, object], str]] = [
        (points, Rig(cameras=rig.cameras[:2]), {}, "cam0"),
        (points, rig, {"backend": "film"}, "no backend"),
        (points, rig, {"backend": "rerun", "out": tmp_path / "x"}, "out means nothing"),
    ]
    for given, other, options, words in wrong:
        with pytest.raises(InputError, match=words):
            mv.show(given, other, **options)
    monkeypatch.setattr(window, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="open3d"):
        mv.show(points, rig, backend="open3d")
    assert not list(tmp_path.iterdir())
