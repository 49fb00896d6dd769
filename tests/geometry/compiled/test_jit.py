"""Compiled code on disk does not outlive its sources."""

from __future__ import annotations

import os
from pathlib import Path

from multiview.geometry.compiled.jit import drop_stale


def test_code_older_than_any_source_is_forgotten(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, age in (("a.py", 100), ("b.py", 50), ("__pycache__/a.1.nbi", 70)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (cache / "b.1.nbi").touch()
    drop_stale(tmp_path)
    # b.py was changed after a's code was compiled, which may call it
    assert [p.name for p in cache.iterdir()] == ["b.1.nbi"]
    drop_stale(tmp_path / "nowhere")
