"""Make the pictures of docs/viewing.md from a run of the demo."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from multiview.cli import main

DOCS = Path(__file__).parents[2] / "docs" / "images"
FRAME = 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def screenshot(page: Path, where: str, out: Path) -> None:
    """Photograph a page in a browser that cannot reach any network."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000"]
        options += [f"--user-data-dir={profile}", "--window-size=1280,800", f"--screenshot={out}"]
        address = f"{page.resolve().as_uri()}#{where}"
        subprocess.run([CHROMIUM, *options, address], check=True, timeout=120, capture_output=True)


def smaller(source: Path, out: Path, width: int) -> None:
    """Write a JPEG of a width."""
    image = cv2.imread(str(source))
    size = (width, round(image.shape[0] * width / image.shape[1]))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out), image, [cv2.IMWRITE_JPEG_QUALITY, 82])


def pictures(run: str) -> None:
    """Write page.jpg and mosaic.jpg."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert main(["view", run, "--html", str(folder / "run.html")]) == 0
        where = f"frame={FRAME}&color=confidence&zoom=2.2"
        screenshot(folder / "run.html", where, folder / "page.png")
        smaller(folder / "page.png", DOCS / "view-page.jpg", 1000)
        given = ["--film", "mosaic", "--frames", str(FRAME), str(FRAME + 1)]
        assert main(["render", run, "--out", str(folder / "film"), *given]) == 0
        smaller(folder / "film" / "mosaic.png", DOCS / "view-mosaic.jpg", 800)


if __name__ == "__main__":
    pictures(sys.argv[1] if len(sys.argv) > 1 else "out/demo")
