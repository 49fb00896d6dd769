"""The command line as a user meets it: help, version, a new workspace."""

import subprocess
import sys
from pathlib import Path

import pytest

from multiview import cli
from multiview.calib.board import load_board
from multiview.verbs.chain import Init, Triangulate

POSITIONAL = Init.model_fields["folder"].metadata[0]
HEAVY = ("cv2", "pyarrow", "scipy", "av")


def loaded_after(code):
    """Heavy modules that a fresh interpreter holds after running the code."""
    report = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip().splitlines()[-1]


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_help_of_every_verb_names_its_options(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*verb.split(), "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"multiview {verb}" in out
    for name, field in cli.VERBS[verb].model_fields.items():
        if POSITIONAL not in field.metadata:  # tyro shows those as PATH
            # `from` is no name in Python
            assert f"--{name.replace('_', '-')}" in out or (name == "source" and "--from" in out)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_overview_lists_every_verb(arguments, capsys):
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    for name, verb in cli.VERBS.items():
        assert f"  {name} " in out
        assert verb.__doc__.splitlines()[0] in out


def test_version_is_that_of_the_package(capsys):
    from multiview.stage import package_version

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == package_version()


def test_python_m_multiview_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "multiview", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.strip()
    assert not done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import multiview",
        "import multiview.cli",
        "import multiview.cli as c\nc.main([])",
        "import multiview.cli as c\ntry: c.main(['detect', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_help_loads_no_heavy_library(code):
    assert loaded_after(code) == "[]"


def test_init_makes_a_workspace_with_a_usable_board(tmp_path, capsys):
    folder = tmp_path / "work" / "space"
    assert cli.main(["init", str(folder)]) == 0
    assert str(folder) in capsys.readouterr().out
    for name in ("captures", "calib/boards", "calib/rigs", "models", "experiments"):
        assert (folder / name).is_dir()
    assert "multiview calibrate" in (folder / "README.md").read_text()
    assert load_board(folder / "calib" / "boards" / "charuco_7x5_30mm.yaml").columns == 7


def test_init_twice_keeps_what_the_user_changed(tmp_path):
    assert cli.main(["init", str(tmp_path)]) == 0
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "calib" / "boards" / "charuco_7x5_30mm.yaml").write_text("mine too")
    (tmp_path / "captures" / "take.txt").write_text("a recording")
    before = tree(tmp_path)
    assert cli.main(["init", str(tmp_path)]) == 0
    assert tree(tmp_path) == before


def test_init_leaves_no_temporary_file(tmp_path):
    cli.main(["init", str(tmp_path)])
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_config_file_gives_defaults_that_options_override(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Triangulate, "run", lambda self: seen.append(self))
    file = tmp_path / "run.yaml"
    file.write_text("detections: d\nrig: r.yaml\nout: o\nransac: {inlier_px: 3, min_views: 3}\n")
    base = ["triangulate", "--config", str(file)]
    assert cli.main(base) == 0
    assert cli.main([*base, "--ransac.inlier-px", "4", "--out", "elsewhere"]) == 0
    assert (seen[0].ransac.inlier_px, seen[0].out) == (3, Path("o"))
    assert (seen[1].ransac.inlier_px, seen[1].out) == (4, Path("elsewhere"))
    assert seen[1].ransac.min_views == 3
