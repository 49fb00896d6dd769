"""The window of Open3D on a screen in memory: a picture for the docs, and its cost on a long take.

python window.py out/demo    # writes docs/images/view-window.jpg
python window.py 18000       # prints seconds and memory for a synthetic take of so many frames
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from long_run import write_run

DOCS = Path(__file__).parents[2] / "docs" / "images"
WIDTH, HEIGHT, EDGE = 1400, 900, 50  # Open3D puts its window of 1280 x 800 at (50, 50)
FRAME = "20"


@contextmanager
def screen(folder: Path) -> Iterator[dict[str, str]]:
    """Start Xvfb, whose pixels lie in a file."""
    read, write = os.pipe()
    size = ["-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", str(folder)]
    command = ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", *size]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()
    try:
        yield {**os.environ, "DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait()


def pixels(folder: Path) -> np.ndarray:
    """Pixels of the window, BGR."""
    raw = np.frombuffer((folder / "Xvfb_screen0").read_bytes(), np.uint8)
    whole = raw[-WIDTH * HEIGHT * 4 :].reshape(HEIGHT, WIDTH, 4)[..., :3]
    return np.ascontiguousarray(whole[EDGE : EDGE + 800, EDGE : EDGE + 1280])


def window(run: Path, env: dict[str, str], *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "multiview", "view", str(run), "--backend", "open3d"]
    return subprocess.Popen([*command, *options], env=env, stdout=subprocess.PIPE, text=True)


def press(env: dict[str, str], key: str) -> None:
    subprocess.run(["xdotool", "key", key], env=env, check=True)
    time.sleep(3)


def pictures(run: Path) -> None:
    """Write the whole rig by finger, and the hand close by confidence, side by side."""
    with tempfile.TemporaryDirectory() as name, screen(Path(name)) as env:
        process = window(run, env, "--frame", FRAME)
        while not pixels(Path(name)).any():
            time.sleep(0.5)
        time.sleep(3)
        shown = [pixels(Path(name))]
        press(env, "z")
        press(env, "c")
        shown.append(pixels(Path(name)))
        press(env, "q")
        print(process.communicate()[0].strip())
    both = np.concatenate([shown[0], np.full((800, 8, 3), 255, np.uint8), shown[1]], 1)
    small = cv2.resize(both, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(DOCS / "view-window.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 85])


def measure(frames: int) -> None:
    """Open a long take, let it play and be read, go to its end."""
    with tempfile.TemporaryDirectory() as name, screen(Path(name)) as env:
        (Path(name) / "run").mkdir()
        process = window(write_run(Path(name) / "run", frames), env)
        while not pixels(Path(name)).any():
            time.sleep(0.2)
        inner = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        print(f"at the first picture {peak(inner)} MB")
        time.sleep(30)
        press(env, "End")
        print(f"all read {peak(inner)} MB")
        press(env, "q")
        print(process.communicate()[0].strip())


def peak(process: str) -> int:
    """Peak memory of a process, MB."""
    rows = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(dict(r.split(":", 1) for r in rows)["VmHWM"].split()[0]) // 1024


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        measure(int(sys.argv[1]))
    else:
        pictures(Path(sys.argv[1]))
