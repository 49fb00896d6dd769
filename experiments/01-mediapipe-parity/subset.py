"""Link every sixth picture of three rendered captures into one folder, for the two other scripts.

``python subset.py RENDERED FOLDER``; RENDERED is ``data/rendered`` of the shared folder. Then
``mediapipe_table.py FOLDER TABLE`` and ``compare.py FOLDER TABLE``.
"""

from __future__ import annotations

import sys
from pathlib import Path

CAPTURES = ("demo8", "dome31", "multi10")
EVERY = 6


def main(rendered: str, folder: str) -> None:
    """Link them; names keep capture, camera and frame."""
    count = 0
    for capture in CAPTURES:
        for path in sorted((Path(rendered) / capture / "images").rglob("*.jpg"))[::EVERY]:
            target = Path(folder) / capture / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
            count += 1
    print(count, "pictures")


if __name__ == "__main__":
    main(*sys.argv[1:])
