"""Make the pictures of a rig in docs/viewing.md and docs/calibration.md, from a run of the demo."""

import sys
import tempfile
from pathlib import Path

import cv2
from pictures import DOCS, screenshot, smaller

from multiview.cli import main

# Section of the report whose first camera is shown, and the rows of its picture that are kept.
REPORT, ROWS = "pictures", slice(50, 600)


def pictures(rig: Path) -> None:
    """Write view-rig.jpg, the page of the rig, and calibration-report.jpg, a part of its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert main(["view", str(rig), "--html", str(folder / "rig.html")]) == 0
        screenshot(folder / "rig.html", "zoom=1.05&pitch=0.62", folder / "rig.png")
        smaller(folder / "rig.png", DOCS / "view-rig.jpg", 1000)
        # the page begins where its section of the cameras does
        text = (rig / "report.html").read_text(encoding="utf-8")
        start = text.index(f'<h2 id="{REPORT}"')
        head = text[: text.index("<main>") + len("<main>")]
        (folder / "report.html").write_text(head + text[start:], encoding="utf-8")
        screenshot(folder / "report.html", "", folder / "report.png")
        image = cv2.imread(str(folder / "report.png"))
        cv2.imwrite(str(folder / "report.png"), image[ROWS])
        smaller(folder / "report.png", DOCS / "calibration-report.jpg", 1000)


if __name__ == "__main__":
    pictures(Path(sys.argv[1] if len(sys.argv) > 1 else "out/demo/calibrate"))
