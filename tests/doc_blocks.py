"""Code blocks of the documentation: found, and run or at least parsed as a reader would type them.

A comment before a block says what is special about it::

    <!-- file: run.yaml -->            the block is that file, in the page's folder
    <!-- not run: needs torch -->      its commands are parsed only, Python is compiled only

Commands that open a window or serve a page until they are stopped are parsed only, everywhere.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from multiview import cli
from multiview.verbs import VERBS

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "CONTRIBUTING.md")
# What a page may show without it being run: results, other programs' files.
SHOWN = {"text", "json", "sql"}
RUN = {"sh", "python", "yaml"}
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n+)?```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; ``mark`` is the comment before it."""

    page: Path
    line: int
    language: str
    body: str
    mark: str

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str:
        """Name of the file that the block is, or nothing."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else ""

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ")


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, m.start("language")) + 1,
            language=m["language"],
            body=m["body"],
            mark=m["mark"] or "",
        )
        for m in BLOCK.finditer(text)
    ]


def commands(script: str) -> Iterator[list[str]]:
    """Split a script of simple commands into words; no pipes, no redirections."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word != "&&":
                words.append(word)
            elif words:
                yield words
                words = []


def run(block: Block, namespace: dict[str, object]) -> None:
    """Run a block in the working folder; ``cd`` lasts."""
    if block.file:
        Path(block.file).write_text(block.body, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.body, block.where, "exec"), namespace)
    else:
        for words in commands(block.body):
            run_command(words, block.where)


def waits(words: list[str]) -> bool:
    """Whether a command goes on until someone closes it."""
    return words[1] == "review" or (words[1] == "view" and not {"--html", "--no-show"} & {*words})


def run_command(words: list[str], where: str) -> None:
    if words[0] == "cd":
        os.chdir(words[1])
        return
    assert words[0] == "multiview", f"{where}: the tests cannot run {words[0]!r}: mark the block"
    if waits(words):
        parse_command(words, where)
    else:
        call(words, where)


def call(words: list[str], where: str) -> None:
    try:
        code = cli.main(words[1:])
    except SystemExit as end:
        code = end.code
    assert code == 0, f"{where}: exit code {code} of: {shlex.join(words)}"


def parse(block: Block) -> None:
    """Check what can be checked of a block that is not run."""
    if block.language == "python":
        compile(block.body, block.where, "exec")
    elif block.language == "sh":
        for words in commands(block.body):
            check_command(words, block.where)


def parse_command(words: list[str], where: str) -> None:
    """Let our own parser read a command, and go no further."""
    with pytest.MonkeyPatch.context() as patch:
        for verb in VERBS.values():
            patch.setattr(verb, "run", lambda self: 0)
        call(words, where)


def check_command(words: list[str], where: str) -> None:
    """Parse a command of ours by its own parser; of make and pip see that the name exists."""
    if words[0] == "multiview":
        parse_command(words, where)
    elif words[0] == "make":
        targets = re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{where}: no such target: {words}"
    elif "pip" in words:
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for names in re.findall(r"(?:multiview-bootstrapping|\.)\[([\w,-]+)\]", " ".join(words)):
            for name in names.split(","):
                assert name in known["optional-dependencies"], f"{where}: no extra {name!r}"


def run_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page, one after the other, in a folder."""
    namespace: dict[str, object] = {"__name__": "page"}
    with chdir(folder):
        for block in blocks(page):
            if block.language not in RUN:
                continue
            if block.runs:
                run(block, namespace)
            else:
                parse(block)
