"""The verb `bootstrap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional

from multiview.config import Config

__all__ = ["Bootstrap"]


class Bootstrap(Config):
    """Label footage, train, score on held-out pictures, and again, while the score rises.

    Reads a YAML file (docs/bootstrap.md). A run that was interrupted goes on where it was.
    """

    file: Positional[Path]
    """YAML: takes, rig, held-out dataset, start set, options of all stages."""
    out: Path | None = None
    """Output folder; runs/NAME beside the file by default."""
    review: Annotated[bool, FlagCreatePairsOff] = False
    """Wait for a person's verdicts on each round's labels before training on them."""
    auto: Annotated[bool, FlagCreatePairsOff] = False
    """Do not wait (the default)."""
    force: bool = False
    """Replace steps that were made with other options."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.config import read_yaml
        from multiview.errors import InputError
        from multiview.stages.bootstrap import run_bootstrap
        from multiview.stages.loop_config import LoopConfig

        if self.review and self.auto:
            raise InputError("--review and --auto", "give one of them")
        folder = self.file.parent
        config = read_yaml(self.file, LoopConfig).below(folder)
        out = self.out or folder / "runs" / self.file.stem
        run_bootstrap(config, out, review=self.review, force=self.force)
