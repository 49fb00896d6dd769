"""`multiview init`: a workspace with the same folders as the project's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from multiview.errors import InputError
from multiview.formats.atomic import write_text
from multiview.progress import say

__all__ = ["run_init"]

FOLDERS = {
    "captures": "One folder a take; in it one video (or folder of images) a camera.",
    "calib/boards": "Boards you print and film, as YAML.",
    "calib/rigs": "Rigs that were measured.",
    "models": "Detectors that were trained.",
    "experiments": "What was run: output folders of the stages.",
}
README = """# A multiview workspace

1. Film the board: one video a camera in `captures/board/` (all cameras at once).
2. `multiview calibrate captures/board --board calib/boards/charuco_7x5_30mm.yaml --out
   experiments/calibrate`
3. Film hands into `captures/take01/`, then
   `multiview detect captures/take01 --out experiments/take01/detect`
4. `multiview triangulate experiments/take01/detect --rig experiments/calibrate/rig.yaml --out
   experiments/take01/triangulate`
5. `multiview label captures/take01 --detections experiments/take01/detect --points
   experiments/take01/triangulate --out experiments/take01/label`

"""


def run_init(folder: Path) -> Path:
    """Make the folders, a README and a board file; files that exist are left alone.

    Raises
    ------
    InputError
        If the path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file", "give a folder")
    for name, purpose in FOLDERS.items():
        readme = folder / name / "README.md"
        if not readme.exists():
            write_text(readme, purpose + "\n")
    if not (folder / "README.md").exists():
        listing = "\n".join(f"- `{n}/`: {p}" for n, p in FOLDERS.items())
        write_text(folder / "README.md", README + listing + "\n")
    board = folder / "calib" / "boards" / "charuco_7x5_30mm.yaml"
    if not board.exists():
        write_text(board, (files("multiview") / "demo_data" / "board.yaml").read_text("utf-8"))
    say(f"init: {folder} is ready; read {folder / 'README.md'}")
    return folder
