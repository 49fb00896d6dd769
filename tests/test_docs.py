"""The README's own commands and code run as written, on the demo capture."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from multiview.stages.demo import demo_data

sys.path.insert(0, str(Path(__file__).parent))
from demo_take import cut_take

README = Path(__file__).parents[1] / "README.md"
SETS = 6


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A workspace after the README's shell commands."""
    root = tmp_path_factory.mktemp("readme")
    shutil.copytree(demo_data() / "board", root / "lab" / "captures" / "board")
    cut_take(root / "lab" / "captures" / "take01", SETS)
    script = next(b for b in blocks("sh") if "multiview init" in b)
    command = f"set -e\nmultiview() {{ '{sys.executable}' -m multiview \"$@\"; }}\n{script}"
    env = os.environ | {"PYTHONPATH": str(README.parent)}
    subprocess.run(["bash", "-c", command], cwd=root, check=True, env=env, timeout=300)
    return root / "lab"


def test_readme_has_blocks():
    assert len(blocks("sh")) == 3
    assert len(blocks("python")) == 1


def test_shell_commands_write_what_the_text_says_to_open(lab):
    take = lab / "experiments" / "take01"
    for path in ("label/contact_sheet.png", "tri/report.md", "label/overlay/cam00.mp4"):
        assert (take / path).stat().st_size > 0
    assert len(list((take / "label" / "images").glob("*/*.jpg"))) > SETS * 8 * 0.8


def test_python_code(lab):
    env = os.environ | {"PYTHONPATH": str(README.parent)}
    code = blocks("python")[0]
    subprocess.run([sys.executable, "-c", code], cwd=lab, check=True, env=env, timeout=300)
    from multiview import load

    written = load(lab / "out" / "take01.coco.json")
    command = load(lab / "experiments" / "take01" / "label" / "coco.json")
    # the two ways of using the project give the same labels
    assert written.keep.sum() == command.keep.sum() > 0
    assert written.rig_digest == command.rig_digest
