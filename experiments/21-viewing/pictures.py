"""Make the pictures of docs/viewing.md from a run of the demo: page, rerun, mosaic, turntable."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import rerun_window

from multiview.cli import main

DOCS = Path(__file__).parents[2] / "docs" / "images"
FRAME = 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A note of the viewer without a screen covers a panel for some seconds.
NOTE_S = 12


def screenshot(page: Path, where: str, out: Path) -> None:
    """Photograph a page in a browser that cannot reach any network."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000"]
        options += [f"--user-data-dir={profile}", "--window-size=1280,800", f"--screenshot={out}"]
        address = f"{page.resolve().as_uri()}#{where}"
        subprocess.run([CHROMIUM, *options, address], check=True, timeout=120, capture_output=True)


def smaller(image: np.ndarray, out: Path, width: int) -> None:
    """Write a JPEG of a width."""
    size = (width, round(image.shape[0] * width / image.shape[1]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out), image, [cv2.IMWRITE_JPEG_QUALITY, 82])


def page(run: str, folder: Path) -> None:
    """Write view-page.jpg."""
    assert main(["view", run, "--html", str(folder / "run.html")]) == 0
    where = f"frame={FRAME}&color=confidence&zoom=2.2"
    screenshot(folder / "run.html", where, folder / "page.png")
    smaller(cv2.imread(str(folder / "page.png")), DOCS / "view-page.jpg", 1000)


def films(run: str, folder: Path) -> None:
    """Write view-mosaic.jpg and view-turntable.jpg."""
    given = ["--film", "mosaic", "turntable", "--frames", str(FRAME), str(FRAME + 1)]
    assert main(["render", run, "--out", str(folder / "film"), *given]) == 0
    for name, width in (("mosaic", 800), ("turntable", 700)):
        image = cv2.imread(str(folder / "film" / f"{name}.png"))
        smaller(image, DOCS / f"view-{name}.jpg", width)


def recording(run: str, folder: Path) -> None:
    """Write view-rerun.jpg, and refuse if a panel says it could not show something."""
    moved = folder / "demo"
    shutil.copytree(run, moved)  # the recording lies beside the points
    assert main(["view", str(moved), "--no-show"]) == 0
    with rerun_window.viewer() as client:
        rerun_window.open_recording(client, moved / "triangulate.rrd", FRAME)
        time.sleep(NOTE_S)
        smaller(rerun_window.picture(client), DOCS / "view-rerun.jpg", 1400)
        assert not rerun_window.complaints(client)


def pictures(run: str) -> None:
    """Write all pictures of the page of the documentation."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for part in (page, films, recording):
            part(run, Path(name))


if __name__ == "__main__":
    pictures(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
