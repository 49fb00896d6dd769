"""Every block of README and documentation as written, on the demo capture.

A page starts in a workspace that has been through the commands of the README: captures/board,
captures/take01 (the first frames of the demo's take), experiments/rig, experiments/take01/*.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest

from multiview import load
from multiview._layout import CaptureFile
from multiview.calib import load_board
from multiview.calib.clicks import load_points
from multiview.cli import main
from multiview.config import read_yaml
from multiview.stages.loop_config import LoopConfig
from multiview.verbs import VERBS

sys.path.insert(0, str(Path(__file__).parent))
from demo_take import cut_take
from doc_blocks import PAGES, ROOT, RUN, SHOWN, blocks, parse, run, run_page

README = ROOT / "README.md"
SETS, BOARD_SETS = 6, 36
# What `multiview demo` writes, from what the README's commands wrote of the same footage.
DEMO = {
    "rig": "calibrate",
    "take01/detect": "detect",
    "take01/tri": "triangulate",
    "take01/label": "label",
}
# Readers of the files that pages show; each refuses misspelt keys.
READERS = {
    "board.yaml": load_board,
    "capture.yaml": lambda path: read_yaml(path, CaptureFile),
    "points.yaml": load_points,
    "run.yaml": lambda path: read_yaml(path, LoopConfig),
}
# Options of other programs that pages name.
FOREIGN = {"--write_json", "--hand", "--keypoint_scale", "--help", "--version", "--config"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A workspace after the README's blocks."""
    root = tmp_path_factory.mktemp("readme")
    captures = root / "lab" / "captures"
    cut_take(captures / "board", BOARD_SETS, "board", fps=2)
    cut_take(captures / "take01", SETS)
    run_page(README, root)
    done, demo = root / "lab" / "experiments", root / "lab" / "out" / "demo"
    for source, stage in DEMO.items():
        shutil.copytree(done / source, demo / stage)
    return root / "lab"


def test_readme_writes_what_it_says_to_open(lab):
    take = lab / "experiments" / "take01"
    for path in ("label/contact_sheet.png", "tri/report.md", "label/overlay/cam00.mp4"):
        assert (take / path).stat().st_size > 0
    assert len(list((take / "label" / "images").glob("*/*.jpg"))) > SETS * 8 * 0.8


def test_readme_gives_the_same_labels_in_python(lab):
    written = load(lab / "out" / "take01.coco.json")
    command = load(lab / "experiments" / "take01" / "label" / "coco.json")
    assert written.keep.sum() == command.keep.sum() > 0
    assert written.rig_digest == command.rig_digest


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda p: p.stem)
def test_page_runs(page, lab, tmp_path):
    shutil.copytree(lab, tmp_path / "lab")
    inside = "multiview init lab" not in page.read_text(encoding="utf-8")
    run_page(page, tmp_path / "lab" if inside else tmp_path)


def test_every_fence_is_a_block_of_a_known_language():
    for page in PAGES:
        fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE)
        found = blocks(page)
        assert len(fences) == 2 * len(found), page
        for block in found:
            assert block.language in RUN | SHOWN, f"{block.where}: say what it is"
            known = block.mark.startswith(("file: ", "not run: "))
            assert known or not block.mark, f"{block.where}: what is {block.mark!r}?"
    assert sum(block.language in RUN and block.runs for p in PAGES for block in blocks(p)) > 20


def test_no_command_hides_in_a_text_block():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "text":
                assert not re.search(r"^multiview ", block.body, re.MULTILINE), block.where


def test_files_shown_are_valid(tmp_path):
    shown = [b for page in PAGES for b in blocks(page) if b.language == "yaml" and b.runs]
    assert shown
    for block in shown:
        name = Path(block.file).name
        assert name in READERS, f"{block.where}: which file is it?"
        path = tmp_path / name
        path.write_text(block.body, encoding="utf-8")
        READERS[name](path)


def group(prefix, known):
    """Whether options begin with it: `--augment.*` names them all."""
    return any(option.startswith(prefix) for option in known)


def test_options_named_in_the_text_exist(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # no option is broken over two lines
    known = set(FOREIGN)
    for name in VERBS:
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        known |= set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out))
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`([^`]+)`", text):
            if code.startswith(("python ", "experiments/", "pip ", "ssh ")):
                continue
            for option in re.findall(r"(?<!\S)--[a-z][\w.-]*", code):
                there = option in known or (option.endswith(".") and group(option, known))
                assert there, f"{page.name}: no verb has {option} (in `{code}`)"


@pytest.mark.parametrize(
    "wrong",
    [
        "```sh\nmultiview calibrate captures/board --bord b.yaml --out rig\n```\n",
        "```sh\nmultiview triangulat x --rig r.yaml --out y\n```\n",
        "<!-- not run: a GPU -->\n```sh\nmultiview train labels --archi light --out m\n```\n",
        "<!-- not run: pip -->\n```sh\npip install 'multiview-bootstrapping[trian]'\n```\n",
        "<!-- not run: make -->\n```sh\nmake dmeo\n```\n",
        "```sh\nmultiview view out/demo --colour finger\n```\n",
        "```python\nimport multiview as mv\n\nassert mv.no_such_name\n```\n",
    ],
)
def test_wrong_blocks_are_found(wrong, tmp_path):
    (tmp_path / "page.md").write_text(wrong, encoding="utf-8")
    (block,) = blocks(tmp_path / "page.md")
    with pytest.raises((AssertionError, AttributeError)):
        run(block, {}) if block.runs else parse(block)
