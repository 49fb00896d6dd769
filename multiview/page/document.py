"""A report of sections with tables and charts: the same as an HTML page and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from multiview.page.style import CSS

__all__ = ["Card", "Chart", "Section", "Table", "standalone_svg", "to_html", "to_markdown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A headline number: what it is, the value with its unit, and a sentence."""

    label: str
    value: str
    unit: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; the first ``left`` columns are aligned to the left."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture as SVG; ``name`` is that of its file beside the Markdown."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, a note, charts and tables in this order."""

    title: str
    note: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


def to_html(
    title: str, subtitle: str, cards: Sequence[Card], sections: Sequence[Section], end: str = ""
) -> str:
    """Write a page that needs no network and no other file."""
    nav = "".join(f'<a href="#s{n}">{escape(s.title)}</a>' for n, s in enumerate(sections))
    heads = "".join(
        f'<div class="card"><div class="label"><span>{escape(c.label)}</span></div>'
        f'<div class="value">{escape(c.value)} <small>{escape(c.unit)}</small></div>'
        f"<p>{escape(c.text)}</p></div>"
        for c in cards
    )
    body = "".join(_section_html(s, n) for n, s in enumerate(sections))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="sub">{escape(subtitle)}</p><nav>{nav}</nav>'
        f'<div class="cards" style="margin-top:24px">{heads}</div>{body}'
        f'<p class="note" style="margin-top:40px">{escape(end)}</p></main></body></html>\n'
    )


def _section_html(section: Section, number: int) -> str:
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    charts = "".join(
        f"<figure>{c.svg}<figcaption>{escape(c.caption)}</figcaption></figure>"
        for c in section.charts
    )
    charts = f'<div class="two">{charts}</div>' if charts else ""
    tables = "".join(_table_html(t) for t in section.tables)
    return f'<h2 id="s{number}">{escape(section.title)}</h2>{note}{charts}{tables}'


def _table_html(table: Table) -> str:
    def cells(row: Sequence[str], kind: str) -> str:
        return "".join(
            f"<{kind}{' class=l' if n < table.left else ''}>{escape(c)}</{kind}>"
            for n, c in enumerate(row)
        )

    head = cells(table.header, "th")
    rows = "".join(f"<tr>{cells(r, 'td')}</tr>" for r in table.rows)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def to_markdown(
    title: str, subtitle: str, sections: Sequence[Section], folder: str, end: str = ""
) -> str:
    """Write the same as Markdown; charts are linked as ``folder/name.svg``."""
    lines = [f"# {title}", "", subtitle]
    for s in sections:
        lines += ["", f"## {s.title}", *(["", s.note] if s.note else [])]
        for chart in s.charts:
            lines += ["", f"![{chart.caption}]({folder}/{chart.name}.svg)"]
        for table in s.tables:
            sides = ["---" if n < table.left else "---:" for n in range(len(table.header))]
            lines += ["", *map(_line, (table.header, sides, *table.rows))]
    return "\n".join([*lines, "", end]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def standalone_svg(svg: str) -> str:
    """Make a picture of a page a file of its own: with its namespace and a font."""
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" style="background:#fff"'
    )
    return svg.replace("<svg", head, 1)
