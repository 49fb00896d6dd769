"""Networks of a stage: one that cannot be loaded leaves no folder behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from multiview.errors import MultiviewError
from multiview.models.base import Detector
from multiview.stage import PLAN, Stage

__all__ = ["load_for"]


def load_for(stage: Stage, load: Callable[[], Detector]) -> Detector:
    """Load a stage's detector; if that fails, drop its folder unless finished parts lie there.

    Raises
    ------
    MultiviewError
        What loading raises.
    """
    try:
        return load()
    except MultiviewError:
        if stage.work.exists() and all(p.name == PLAN for p in stage.work.iterdir()):
            shutil.rmtree(stage.work)
        raise
