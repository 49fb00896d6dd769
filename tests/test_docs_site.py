"""What docs/site.py gathers and writes; mkdocs itself checks the links (`make docs`)."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import multiview
from multiview.verbs import VERBS

sys.path.insert(0, str(Path(__file__).parent))
from doc_blocks import ROOT


def script(name):
    """A script of the folder docs as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path, monkeypatch):
    module = script("site")
    monkeypatch.setattr(module, "PAGES", tmp_path / "pages")
    (tmp_path / "pages" / "docs").mkdir(parents=True)
    return module


def test_pages_keep_their_places_and_bring_what_they_show(site):
    site.gather()
    for name in ("README.md", "docs/how.md", "docs/images/how-vote.svg", "calib/README.md"):
        assert (site.PAGES / name).read_bytes() == (ROOT / name).read_bytes()
    assert (site.PAGES / "experiments" / "09-benchmark-calibration" / "README.md").exists()


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    for page in (ROOT / "docs").glob("**/*.md"):
        assert str(page.relative_to(ROOT)) in nav, page.name


def test_every_public_name_and_verb_is_in_the_reference(site):
    site.write_python_page()
    listed = (site.PAGES / "docs" / "api.md").read_text(encoding="utf-8")
    places = re.findall(r"^::: (\S+)\.(\w+)$", listed, re.MULTILINE)
    assert {name for _, name in places} == {*multiview.__all__, "errors"}
    for module, name in places:
        assert hasattr(importlib.import_module(module), name)
    site.write_command_page()
    shown = (site.PAGES / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in VERBS:
        assert f"\n## {name}\n" in shown
        assert f"usage: multiview {name} [-h]" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("text", "name", "fetches"),
    [
        ('<script src="https://a.example/x.js"></script>', "p.html", True),
        ('<link rel=stylesheet href="//a.example/x.css">', "p.html", True),
        ("@font-face { src: url('https://a.example/f.woff') }", "p.css", True),
        ('<a href="https://a.example/">there</a><script src="x.js"></script>', "p.html", False),
    ],
)
def test_pages_that_fetch_from_elsewhere_are_found(site, text, name, fetches, tmp_path):
    (tmp_path / name).write_text(text)
    assert bool(site.from_elsewhere(tmp_path)) == fetches


def test_figures_show_what_the_experiment_says_today():
    figures = script("figures")
    for name, svg in (("views-curve", figures.views_curve()), ("loop", figures.loop())):
        drawn = (ROOT / "docs" / "images" / f"how-{name}.svg").read_text(encoding="utf-8")
        assert drawn == figures.standalone_svg(svg) + "\n", f"python docs/figures.py: how-{name}"
