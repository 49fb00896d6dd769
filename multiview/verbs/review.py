"""The verb `review`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config

__all__ = ["Review"]


class Review(Config):
    """Look through labels in a browser and keep or reject them by single keys.

    Verdicts are used by bootstrap --review and by the dataset verbs (docs/review.md).
    """

    run_folder: Positional[Path]
    """Output of label, a round of bootstrap, or its run: the newest round then."""
    order: Literal["residual", "score", "time"] = "residual"
    """Worst residual first, best score first, or as filmed."""
    port: int = Field(0, ge=0, le=65535)
    """Of 127.0.0.1, which is all that is listened to; 0 takes a free one."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.review_page import run_review

        run_review(self.run_folder, order=self.order, port=self.port)
