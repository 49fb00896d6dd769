"""Pages are templates with their data and the script they share written in: one file each."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["fill_page"]

ORBIT = "orbit.js"  # how a 3D scene is turned and projected, the same in every page


def fill_page(template: str, data: dict[str, Any]) -> str:
    """Write data into a template of ``viz/data``.

    Parameters
    ----------
    template
        Its file name.
    data
        Becomes JSON.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")  # no name in it can end the script or open a comment
    return _read(template).replace("__ORBIT__", _read(ORBIT)).replace("__DATA__", text)


def _read(name: str) -> str:
    return (files("multiview") / "viz" / "data" / name).read_text(encoding="utf-8")
