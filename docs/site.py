"""Gather the pages of the documentation site and build it, without a network: `make docs`.

Pages keep their places (README.md, docs/, experiments/*/README.md), so that the same links hold
on the site and in the repository. Two pages are written here: the command line's own help, and the
list of what `import multiview` offers.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "out" / "docs" / "pages"
FIRST = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "calib/README.md")
FIRST += ("experiments/README.md", "docs/site.css")
# Wide enough for the longest option, narrow enough for the page.
COLUMNS = "92"


def links(page: Path) -> list[Path]:
    """Files of the repository that a page links to or shows."""
    body = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s#]+)[^)]*\)", body)
    return [(page.parent / f).resolve() for f in found if ":" not in f]


def gather() -> None:
    """Copy all pages, and what they link to, into the folder that is built."""
    shutil.rmtree(PAGES, ignore_errors=True)
    waiting = [ROOT / name for name in FIRST]
    waiting += sorted((ROOT / "docs").glob("*.md"))
    waiting += sorted((ROOT / "experiments").glob("*/README.md"))
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file() or ROOT not in path.parents:
            continue  # what is missing is found by the build, which names page and link
        seen.add(path)
        target = PAGES / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        if path.suffix == ".md":
            waiting += links(path)


def command_help(name: str) -> str:
    """Return what ``multiview NAME --help`` prints."""
    from multiview.cli import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*name.split(), "--help"])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    return "\n".join(line.rstrip() for line in plain.strip().splitlines())


def write_command_page() -> None:
    """Write the reference of the command line."""
    from multiview.verbs import VERBS

    lines = ["# Command line", "", "What `multiview VERB --help` prints.", ""]
    lines += ["```text", command_help(""), "```", ""]
    for name in VERBS:
        lines += [f"## {name}", "", "```text", command_help(name), "```", ""]
    (PAGES / "docs" / "cli.md").write_text("\n".join(lines), encoding="utf-8")


def home(name: str) -> str:
    """Return the full name of a public name where it is defined."""
    import multiview

    value = getattr(multiview, name)
    module = getattr(value, "__module__", "")
    if hasattr(import_module(module or "multiview"), name) and module.startswith("multiview"):
        return f"{module}.{name}"
    return f"multiview.core.{name}"


def write_python_page() -> None:
    """Write the reference of the public names; their docstrings fill it."""
    import multiview

    lines = ["# Python", "", "What `import multiview as mv` offers."]
    lines += ["Axes, units and names of frames: [conventions](conventions.md).", ""]
    for name in sorted(multiview.__all__, key=lambda n: (n[0].isupper(), n)):
        lines += [f"::: {home(name)}", ""]
    lines += ["## Errors", "", "::: multiview.errors", "    options:"]
    lines += ["      show_root_heading: false", "      show_root_toc_entry: false"]
    lines += ["      heading_level: 3", ""]
    (PAGES / "docs" / "api.md").write_text("\n".join(lines), encoding="utf-8")


def from_elsewhere(site: Path) -> list[str]:
    """Addresses that a reader's browser would fetch from another server."""
    kinds = r"<(?:script|img|iframe|link|source)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\s\">]+)"
    pages = [p.read_text(encoding="utf-8") for p in site.rglob("*.html")]
    styles = [p.read_text(encoding="utf-8") for p in site.rglob("*.css")]
    found = {a for page in pages for a in re.findall(kinds, page)}
    return sorted(found | {a for s in styles for a in re.findall(r"url\(['\"]?(https?:[^)]+)", s)})


def main() -> None:
    """Build the site; end with an error where a link or a docstring is broken."""
    os.chdir(ROOT)
    os.environ |= {"COLUMNS": COLUMNS, "NO_COLOR": "1", "TERM": "dumb"}
    gather()
    write_command_page()
    write_python_page()
    from mkdocs.__main__ import cli

    # not --quiet: it would hide warnings from --strict too
    cli.main(["build", "--strict", *sys.argv[1:]], standalone_mode=False)
    if fetched := from_elsewhere(ROOT / "out" / "docs" / "site"):
        sys.exit(f"pages would fetch from elsewhere: {', '.join(fetched)}")


if __name__ == "__main__":
    main()
