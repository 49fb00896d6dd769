"""Settings of a calibration from the scene; shared by finding and refining."""

from __future__ import annotations

from pydantic import Field

from multiview.config import Config

__all__ = ["SceneConfig"]


class SceneConfig(Config):
    """How the scene is used.

    Parameters
    ----------
    min_conf
        Detections below this are not used.
    refine_focal
        Let every focal length move too; they were known to about 5 %.
    """

    min_conf: float = Field(0.2, ge=0, le=1)
    refine_focal: bool = False
