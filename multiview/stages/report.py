"""The short report of a whole run, as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiview.formats.atomic import write_text
from multiview.stage import provenance, read_manifest

__all__ = ["run_report"]


def run_report(out: Path, stages: tuple[str, ...], extra: list[str]) -> Path:
    """Collect the stages' own reports and manifests into ``out/report.md``.

    Parameters
    ----------
    out
        Folder that holds one folder a stage.
    stages
        Their names in order.
    extra
        Markdown lines to put first.
    """
    lines = ["# Run", "", *extra, "", "| stage | seconds | figures |", "| --- | ---: | --- |"]
    for name in stages:
        manifest = read_manifest(out / name)
        figures = ", ".join(f"{k} {_short(v)}" for k, v in manifest["figures"].items())
        lines.append(f"| {name} | {manifest['seconds']:.1f} | {figures} |")
    if (out / "label" / "contact_sheet.png").exists():
        lines += ["", "![what each camera saw](label/contact_sheet.png)"]
    for name in stages:
        part = out / name / "report.md"
        if part.exists():
            lines += ["", part.read_text(encoding="utf-8").replace("# ", "## ", 1).strip()]
    versions = ", ".join(f"{k} {v}" for k, v in provenance().items())
    lines += ["", f"Made with {versions}."]
    return write_text(out / "report.md", "\n".join(lines) + "\n")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} {_short(v)}" for k, v in value.items()) + "}"
    return str(value)
