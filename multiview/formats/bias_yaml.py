"""The lasting error of a detector as YAML: ``multiview-bias/1``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from multiview.config import Config, read_yaml
from multiview.core import KeypointBias
from multiview.errors import InputError, ShapeError
from multiview.formats.atomic import write_text

__all__ = ["read_bias", "write_bias"]

# A millionth of a hand.
DIGITS = 6


class _Row(Config):
    offset: tuple[float, float, float]
    sigma: tuple[float, float, float]


class _BiasFile(Config):
    format: Literal["multiview-bias/1"]
    about: str
    poses: int
    keypoints: dict[str, _Row]


def read_bias(path: str | Path) -> KeypointBias:
    """Read a table of `write_bias`.

    Raises
    ------
    ConfigError, InputError
        If the file is missing, is something else, or holds no numbers.
    """
    file = read_yaml(path, _BiasFile)
    rows = list(file.keypoints.values())
    try:
        return KeypointBias(
            keypoints=tuple(file.keypoints),
            offset=np.array([r.offset for r in rows]).reshape(-1, 3),
            sigma=np.array([r.sigma for r in rows]).reshape(-1, 3),
            poses=file.poses,
            about=file.about,
        )
    except ShapeError as error:
        raise InputError(f"{path}: {error}", "measure it again: multiview models bias") from None


def write_bias(bias: KeypointBias, path: str | Path) -> Path:
    """Write a table: hand lengths along the axes of `multiview.bias.palm_frames`."""
    rows = {
        name: {"offset": _numbers(o), "sigma": _numbers(s)}
        for name, o, s in zip(bias.keypoints, bias.offset, bias.sigma, strict=True)
    }
    head = {"format": "multiview-bias/1", "about": bias.about, "poses": bias.poses}
    lines = [yaml.safe_dump(head, sort_keys=False), "keypoints:\n"]
    for name, row in rows.items():
        lines.append(f"  {name}: {yaml.safe_dump(row, default_flow_style=True, width=200)}")
    return write_text(Path(path), "".join(lines))


def _numbers(row: np.ndarray) -> list[float]:
    return [round(float(x), DIGITS) for x in row]
