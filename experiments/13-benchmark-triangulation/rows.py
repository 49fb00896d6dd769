"""Records to Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

START, END = "<!-- results -->", "<!-- end of results -->"
HEAD = (
    "| views | tool | method | points / CPU s | ours / it | first call s | median mm | 95 % mm "
    "| returned | within 5 mm | peak MB | note |\n| " + "--- | " * 3 + "---: | " * 8 + "--- |"
)


def _cell(record: dict[str, Any], key: str, form: str) -> str:
    value = record.get(key)
    return format(value, form) if value is not None else "-"


def _speed(record: dict[str, Any]) -> float | None:
    per_point = record.get("cpu_ms_per_pt")
    return 1000 / per_point if per_point else None


def line(record: dict[str, Any], ours: float | None = None) -> str:
    """One row."""
    speed = _speed(record)
    ratio = f"{ours / speed:.1f}" if ours and speed else "-"
    cells = [
        str(record.get("V", record["scene"])),
        record["peer"],
        record["method"],
        f"{speed:,.0f}" if speed else "-",
        ratio,
        _cell(record, "first_s", ".2f"),
        _cell(record, "median", ".2f"),
        _cell(record, "p95", ".2f"),
        _cell(record, "returned", ".3f"),
        _cell(record, "recall5", ".3f"),
        _cell(record, "peak_mb", ".0f"),
        record.get("status") or "",
    ]
    return "| " + " | ".join(cells) + " |"


def page(kept: dict[str, list[dict[str, Any]]], machine: str) -> str:
    """All tables."""
    records = kept.get("peers", [])
    lines = [f"Machine: {machine}; one thread each, CPU seconds.", "", HEAD]
    for scene in dict.fromkeys(r["scene"] for r in records):
        rows = [r for r in records if r["scene"] == scene]
        ours = next((_speed(r) for r in rows if r["method"] == "keypoint"), None)
        lines += [line(r, ours) for r in sorted(rows, key=lambda r: -(r.get("recall5") or 0))]
    lines += ["", "Ellipsoids of ours: " + _coverage(records) + ".", ""]
    if kept.get("curves"):
        lines += _curve_table(kept["curves"])
    if kept.get("together"):
        lines += ["", *_together_table(kept["together"])]
    if kept.get("scale"):
        lines += ["", *_scale_table(kept["scale"])]
    lines += ["", "Versions: " + _versions(records) + "."]
    return "\n".join(lines) + "\n"


def _together_table(found: list[dict[str, Any]]) -> list[str]:
    out = [
        "| errors | views | share | way | median mm | 95 % mm | within 5 mm | voted points > 20 mm "
        "| labels | labels > 20 mm |",
        "| --- | ---: | ---: | --- | " + "---: | " * 6,
    ]
    for r in found:
        out.append(
            f"| {r['kind']} | {r['views']} | {r['rate']:.0%} | {r['way']} | {r['median']:.2f} | "
            f"{r['p95']:.1f} | {r['recall5']:.3f} | {r['false']:.3%} | {r['labels']:.3f} | "
            f"{r['false_labels']:.3%} |"
        )
    return out


def _scale_table(scale: list[dict[str, Any]]) -> list[str]:
    out = [
        "| frames of 8 views | threads | wall s | CPU s | points / CPU s | own memory MB |",
        "| " + "---: | " * 6,
    ]
    for r in scale:
        out.append(
            f"| {r['frames']:,} | {r['workers']} | {r['wall']:.1f} | {r['cpu']:.1f} "
            f"| {r['frames'] * 21 / r['cpu']:,.0f} | {r['own_mb']:.0f} |"
        )
    return out


def _coverage(records: list[dict[str, Any]]) -> str:
    told = [r for r in records if "within68" in r and r["method"] == "keypoint"]
    return "; ".join(
        f"{r['V']} views: 68 % hold {r['within68']:.1%}, 95 % hold {r['within95']:.1%}"
        for r in told
    )


def _curve_table(curves: list[dict[str, float]]) -> list[str]:
    out = [
        "| views | outliers | noise px | median / oracle mm | 95 % / oracle mm | returned / oracle "
        "| within 5 mm / oracle | > 30 mm, 3 views and more | two views: wrong / told "
        "| 68 %, 95 % hold |",
        "| " + "---: | " * 10,
    ]
    for c in curves:
        out.append(
            f"| {c['views']:.0f} | {c['outliers']:.0%} | {c['sigma']} | {c['median']:.2f} / "
            f"{c['oracle_median']:.2f} | {c['p95']:.2f} / {c['oracle_p95']:.2f} | "
            f"{c['returned']:.3f} / {c['oracle_returned']:.3f} | {c['recall5']:.3f} / "
            f"{c['oracle_recall5']:.3f} | {c['wrong']:.2%} | {c['two_view_wrong']:.1%} / "
            f"{c['two_view_told']:.1%} | {c['within68']:.1%}, {c['within95']:.1%} |"
        )
    return out


def _versions(records: list[dict[str, Any]]) -> str:
    found: dict[str, str] = {}
    for record in records:
        for name, version in (record.get("versions") or {}).items():
            found.setdefault(name, version)
    return ", ".join(f"{n} {v}" for n, v in sorted(found.items()))


def write(readme: Path, text: str) -> None:
    """Put the tables between the marks of the README."""
    before, rest = readme.read_text().split(START)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{START}\n\n{text}\n{END}{after}")
