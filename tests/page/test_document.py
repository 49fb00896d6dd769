"""Reports: the same content in both forms, nothing that a name could break."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from multiview.page.document import (
    Card,
    Chart,
    Section,
    Table,
    standalone_svg,
    to_html,
    to_markdown,
)
from multiview.page.plots import bars, curves, intervals, round_steps


def test_round_steps():
    assert round_steps(0, 30) == [0, 10, 20, 30]
    assert round_steps(0, 1) == [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]
    assert round_steps(-0.3, 0.5)[0] == -0.2
    assert str(round_steps(0, 1)[0]) == "0.0"


def charts():
    x = np.linspace(0, 10, 5)
    row = np.array([0.5, np.nan])
    return {
        "c": curves({"<a>": (x, x / 10), "b": (x, x / 20)}, "px & more", "t"),
        "b": bars(["one", "two"], {"r": row, "s": row}, "t", unit="%"),
        "i": intervals([("n", 1.0, 0.5, 2.0), ("m", 0.0, np.nan, np.nan)], "t", "b has more"),
    }


def test_charts_are_valid_files_of_their_own():
    for svg in charts().values():
        root = ET.fromstring(standalone_svg(svg))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_curve_ends_where_its_values_do():
    root = ET.fromstring(standalone_svg(charts()["c"]))
    lines = [p.get("d") for p in root.iter() if p.get("d", "").count("L") == 4]
    ends = [[float(v) for v in line.split("L")[-1].split()] for line in lines]
    (xa, ya), (xb, yb) = ends
    assert xa == xb == 508
    assert (260 - yb) * 2 == (260 - ya) == 234  # half as high; the plot is 234 high


def test_both_forms_hold_everything():
    sections = [
        Section(
            title="One <b>",
            note="note",
            charts=(Chart(name="c1", svg="<svg></svg>", caption="cap"),),
            tables=(Table(header=("measure", "a|b"), rows=(("x & y", "1"),)),),
        )
    ]
    page = to_html("T", "sub", [Card(label="L", value="1", unit="mm", text="words")], sections)
    for part in ("One &lt;b&gt;", "note", "cap", "x &amp; y", "<svg></svg>", "words", "mm"):
        assert part in page
    text = to_markdown("T", "sub", sections, "plots")
    assert "![cap](plots/c1.svg)" in text
    assert "| measure | a\\|b |\n| --- | ---: |\n| x & y | 1 |" in text
