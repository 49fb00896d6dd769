"""The verbs `models` and `convert`: networks, rigs and keypoints of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.errors import InputError
from multiview.formats.rigs.names import LengthUnit, RigFormat
from multiview.verbs.options import CaptureOptions, KeypointFileOptions, refuse_options

__all__ = ["Convert", "Models", "ModelsBias"]


class Convert(KeypointFileOptions):
    """Convert a rig from or to another program, or read its 2D keypoints.

    docs/export.md lists the rigs, docs/formats.md the keypoints.
    """

    source: Positional[Path]
    """Folder or file of the other program."""
    out: Path
    """A .yaml rig or .parquet detections file; with --to a file or folder of that program."""
    to: RigFormat | None = None
    """Write the rig for this program."""
    unit: LengthUnit | None = None
    """Lengths of the foreign file, where it may be in any unit (anipose, colmap, opencv)."""
    size_wh: tuple[int, int] | None = None
    """Image size, where the source does not state it."""
    max_hands: int = Field(2, ge=1, le=20)
    """Hands kept a picture."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.convert import run_convert

        if self.to is not None:
            refuse_options(self, {"to", "unit", "size_wh"}, "a rig for another program (--to)")
        run_convert(
            self.source,
            self.out,
            self.size_wh,
            to=self.to,
            unit=self.unit,
            max_hands=self.max_hands,
            **self.reading(),
        )


WITH = {
    "list": set(),
    "show": {"names"},
    "check": {"names", "runtime", "provider"},
    "convert": {"names", "out", "name", "force"},
    "calibrate": {"names", "runtime", "provider", "passes", "pictures", "input"}
    | {"take", "points", "truth", "rig", "labels"},
}


class Models(Config):
    """List, show, check, convert and calibrate the networks that detect."""

    action: Positional[Literal["list", "show", "check", "convert", "calibrate"]]
    """list all; show or check some; convert files of another program; calibrate: make the
    confidence of a network a probability, from pictures in which the hands are known."""
    names: Positional[tuple[str, ...]] = ()
    """Models, cards or .onnx files; with convert: prototxt and caffemodel, a .onnx, a wheel."""
    out: Path = Path("models")
    """convert: folder of the results."""
    name: str | None = None
    """convert: name of the model, by default that of the file."""
    runtime: str | None = None
    """check, calibrate: cv2 or ort; check runs all that are installed by default."""
    provider: str = "cpu"
    """check, calibrate: cpu or cuda, of onnxruntime."""
    take: Path | None = None
    """calibrate: a take, with its 3D by --points, or --truth and --rig."""
    points: Path | None = None
    """calibrate: folder of triangulate of that take."""
    truth: Path | None = None
    """calibrate: npz with xyz_world (F, H, K, 3) of that take."""
    rig: Path | None = None
    """calibrate: the rig of --truth."""
    labels: Path | None = None
    """calibrate: folder of `multiview label`, instead of a take."""
    passes: tuple[Literal[0, 1, 2, 4, 8], ...] = (0, 2)
    """calibrate: numbers of extra crops to calibrate for."""
    pictures: int = Field(500, ge=10)
    """calibrate: pictures read at most, spread over all."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """convert: replace a card that is there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages import models

        refuse_options(self, WITH[self.action], f"models {self.action}")
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
        elif self.action == "check":
            for name in self.names:
                models.run_check(name, runtime=self.runtime, provider=self.provider)
        else:
            self._calibrate()

    def _calibrate(self) -> None:
        from multiview.stages import calibrate_model as stage

        if len(self.names) != 1 or (self.take is None) == (self.labels is None):
            raise InputError(
                "models calibrate needs one model, and either --take or --labels",
                "multiview models calibrate NAME --take TAKE --points TRIANGULATED",
            )
        if self.labels is not None:
            refuse_options(self, WITH["calibrate"] - {"points", "truth", "rig", "input"}, "labels")
            known = stage.known_in_labels(self.labels)
        else:
            assert self.take is not None
            known = stage.known_in_take(
                self.input.open(self.take), points=self.points, truth=self.truth, rig=self.rig
            )
        stage.run_calibrate_model(
            self.names[0],
            known,
            passes=self.passes,
            pictures=self.pictures,
            runtime=self.runtime or "cv2",
            provider=self.provider,
        )


class ModelsBias(Config):
    """Measure what a detector gets wrong in all views alike, from a take with known 3D.

    The result, for `triangulate --bias`, holds for the detector on hands and poses like these.
    """

    points: Positional[Path]
    """Folder of `triangulate`."""
    truth: Path
    """npz with xyz_world (F, H, K, 3), metres."""
    out: Path
    """YAML file to write."""
    truth_rig: Path | None = None
    """The true cameras, if the worlds differ by a rigid motion."""
    stretch: int = Field(30, ge=1)
    """Frame sets that show one pose, or nearly: they count once."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.bias import run_bias

        run_bias(
            self.points,
            self.truth,
            self.out,
            truth_rig=self.truth_rig,
            stretch=self.stretch,
            force=self.force,
        )
