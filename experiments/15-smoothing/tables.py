"""Rows as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def page(records: list[Row]) -> str:
    """Write all tables."""
    parts = [_main(records), _fast(records), _long(records)]
    return "\n\n".join(p for p in parts if p)


def write(path: Path, text: str) -> None:
    """Put the tables between the README's marks."""
    marks = ("<!-- results -->", "<!-- end of results -->")
    old = path.read_text()
    new = f"{marks[0]}\n\n{text}\n{marks[1]}"
    pattern = re.escape(marks[0]) + ".*" + re.escape(marks[1])
    path.write_text(re.sub(pattern, lambda _: new, old, flags=re.DOTALL))


def _n(row: Row, key: str, form: str) -> str:
    value = row.get(key)
    return "-" if value is None else format(value, form)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---:" if i else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(x) + " |" for x in (head, rule, *lines))


def _main(records: list[Row]) -> str:
    head = ["method", "views", "seed", "median mm", "95 % mm", "within 5 mm", "68 %, 95 % hold"]
    head += ["points one is worth", "frames / CPU s", "note"]
    lines = []
    for r in sorted(records, key=lambda r: (r["views"], r.get("seed", 0))):
        if r["job"] not in {"smooth", "seed", "peer"}:
            continue
        hold = f"{r['within68']:.1%}, {r['within95']:.1%}" if "within68" in r else "-"
        some = f"{r['frames']} frames " if r["job"] == "peer" and "frames" in r else ""
        line = [("Anipose: " if r["job"] == "peer" else "") + r["method"], str(r["views"])]
        line += [str(r["seed"]), _n(r, "median", ".2f"), _n(r, "p95", ".2f")]
        line += [_n(r, "within5", ".3f"), hold, _n(r, "frames_used", ".1f")]
        lines.append([*line, _n(r, "frames_per_cpu_s", ".0f"), some + r.get("note", "")])
    return _table(head, lines) if lines else ""


def _fast(records: list[Row]) -> str:
    head = ["method", "views"]
    for part in ("calm", "flick", "impact"):
        head += [f"{part}: median / 95 % mm", f"{part}: lag ms"]
    lines = []
    for r in records:
        if r["job"] != "fast":
            continue
        line = [r["method"], str(r["views"])]
        for part in ("calm", "flick", "impact"):
            line.append(f"{_n(r, part + '_median', '.2f')} / {_n(r, part + '_p95', '.2f')}")
            line.append(_n(r, part + "_lag_ms", ".2f"))
        lines.append(line)
    return _table(head, lines) if lines else ""


def _long(records: list[Row]) -> str:
    head = ["frames", "views", "CPU s", "peak MB before", "peak MB", "median mm"]
    lines = [
        [
            str(r["frames"]),
            str(r["views"]),
            _n(r, "cpu_s", ".0f"),
            _n(r, "peak_before_mb", ".0f"),
            _n(r, "peak_mb", ".0f"),
            _n(r, "median", ".2f"),
        ]
        for r in records
        if r["job"] == "long"
    ]
    return _table(head, lines) if lines else ""
