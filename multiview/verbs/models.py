"""The verbs `models` and `convert`: networks, rigs and keypoints of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.errors import InputError
from multiview.verbs.options import KeypointFileOptions

__all__ = ["Convert", "Models"]


class Convert(KeypointFileOptions):
    """Convert a rig or the 2D keypoints of another program (docs/formats.md lists them)."""

    source: Positional[Path]
    """Folder or file of the other program."""
    out: Path
    """A .yaml rig or .parquet detections file."""
    size_wh: tuple[int, int] | None = None
    """Image size, where the source does not state it."""
    max_hands: int = Field(2, ge=1, le=20)
    """Hands kept a picture."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.convert import run_convert

        run_convert(
            self.source,
            self.out,
            self.size_wh,
            max_hands=self.max_hands,
            **self.reading(),
        )


class Models(Config):
    """List, show, check and convert the networks that detect."""

    action: Positional[Literal["list", "show", "check", "convert"]]
    """list all; show or check some; convert files of another program."""
    names: Positional[tuple[str, ...]] = ()
    """Models, cards or .onnx files; with convert: prototxt and caffemodel, a .onnx, a wheel."""
    out: Path = Path("models")
    """convert: folder of the results."""
    name: str | None = None
    """convert: name of the model, by default that of the file."""
    runtime: str | None = None
    """check: cv2 or ort; all that are installed by default."""
    provider: str = "cpu"
    """check: cpu or cuda, of onnxruntime."""
    force: bool = False
    """convert: replace a card that is there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages import models

        if self.action == "convert":
            models.run_convert_model(self.names, self.out, name=self.name, force=self.force)
        elif self.action == "list":
            models.run_list()
        elif not self.names:
            raise InputError(
                f"models {self.action} needs a model", f"multiview models {self.action} hand"
            )
        elif self.action == "show":
            for name in self.names:
                models.run_show(name)
        else:
            for name in self.names:
                models.run_check(name, runtime=self.runtime, provider=self.provider)
