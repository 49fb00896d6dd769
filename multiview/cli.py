"""The command line: one verb a stage. Nothing imports this module.

Exit codes: 0 done, 2 an error the user can act on (one message, no traceback), 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import Field
from tyro.conf import Positional, arg

from multiview.bootstrap.labels import LabelConfig
from multiview.config import Config, load_yaml, parse_config
from multiview.errors import InputError, MultiviewError
from multiview.formats.keypoint_names import KeypointChoice
from multiview.formats.keypoint_table import KeypointFormat
from multiview.triangulation import TriangulationConfig

__all__ = ["main"]


class _CaptureConfig(Config):
    """How the pictures of the cameras are matched."""

    sync: Literal["time", "index"] | None = None
    """"time" matches by timestamps; "index" takes frame i of every camera as simultaneous."""
    tolerance_s: float | None = None
    """Largest distance in time within a set; about half a frame interval by default."""
    fps: float | None = None
    """Pictures per second of image folders without timestamps."""

    def open(self, path: Path) -> Any:
        """Open the capture."""
        from multiview.capture import open_capture

        return open_capture(path, sync=self.sync, tolerance_s=self.tolerance_s, fps=self.fps)


class _KeypointFiles(Config):
    """How 2D keypoints of other programs are read."""

    format: KeypointFormat | None = None
    """The program that wrote them; found by content if left out."""
    images: Path | None = None
    """COCO file whose image numbers COCO results use."""
    keypoints: KeypointChoice = "auto"
    """"own" keeps the file's keypoints even where their names are in part those of a hand."""
    trust_labels: bool = False
    """Take left, right or track names as the same thing in every camera."""

    def reading(self) -> dict[str, Any]:
        """Arguments of `multiview.precomputed.read_precomputed`."""
        given = {n: getattr(self, n) for n in _KeypointFiles.model_fields}
        return given | {"trust_labels": self.trust_labels or None}


class Init(Config):
    """Make a workspace: folders for captures, boards, rigs, models and runs."""

    folder: Positional[Path]
    """Where."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.init import run_init

        run_init(self.folder)


class Calibrate(Config):
    """Calibrate the rig from synchronised footage of a board."""

    capture: Positional[Path]
    """Folder with one video or image folder a camera."""
    board: Path
    """Board YAML (see calib/boards)."""
    out: Path
    """Output folder: rig.yaml, report.md."""
    intrinsics: Path | None = None
    """Rig file whose lenses are kept; only the poses are estimated."""
    input: _CaptureConfig = _CaptureConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.calibrate import run_calibrate

        run_calibrate(
            self.input.open(self.capture),
            self.board,
            self.out,
            intrinsics=self.intrinsics,
            force=self.force,
        )


class Detect(_KeypointFiles):
    """Detect hands in a photo, a folder of photos, a video, a camera (0, 1, ...), or a take.

    A folder is a take if it holds videos, camera folders or a capture.yaml; with pictures directly
    in it, it is photos. An interrupted run goes on where it was.
    """

    capture: Positional[Path]
    """Photo, folder, video, number of a camera, or the folder of a take."""
    out: Path | None = None
    """Output folder; out/NAME by default. A take gives detections.parquet, all else hands.json."""
    detector: str = "hand"
    """hand (MediaPipe full), mediapipe-lite, a card of models/, or precomputed (with --from)."""
    runtime: Literal["cv2", "ort"] = "cv2"
    """What runs the networks: OpenCV or onnxruntime."""
    provider: str = "cpu"
    """Of onnxruntime: cpu or cuda."""
    passes: Literal[0, 1, 2, 4, 8] = 0
    """Takes: read every hand so many times more; a smaller error and a sharper confidence."""
    workers: int | None = Field(None, ge=1)
    """Takes: threads that detect; one a core by default. The result is the same."""
    max_hands: int = Field(2, ge=1, le=20)
    """Hands kept a picture."""
    map: str | None = None
    """Lay the probability map of this keypoint (index4, or 8) over the pictures. Not for takes."""
    smooth: bool = False
    """Draw and export smoothed points too (video, camera); the lag is stated."""
    track: bool = True
    """Follow hands from picture to picture (video, camera)."""
    search_every: int = Field(1, ge=1)
    """While a hand is tracked, search for others in every n-th picture only (video, camera)."""
    seconds: float | None = Field(None, gt=0)
    """Stop after so long (video, camera)."""
    frames: int | None = Field(None, ge=1)
    """Stop after so many pictures (video, camera)."""
    show: bool = False
    """Show the result in a window, if there is a display."""
    parquet: bool = False
    """Write hands.parquet beside hands.json."""
    input: _CaptureConfig = _CaptureConfig()
    source: Annotated[Path | None, arg(name="from")] = None
    """With --detector precomputed: file or folder of 2D keypoints of another program."""
    guide: Path | None = None
    """Second pass (takes): look for missed hands where the 3D of this triangulate folder is."""
    guide_detections: Path | None = None
    """With --guide: what that 3D was made from, if it is no longer where it was."""
    reread: bool = False
    """With --guide: also look again where hands were found, and average the answers."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.detect_files import default_out, kind_of

        if self.guide or self.guide_detections or self.reread:
            self._guide()
            return

        if self.source or self.detector == "precomputed":
            self._read(self.out or default_out(self.capture, "take"))
            return
        kind = kind_of(self.capture)
        out = self.out or default_out(self.capture, kind)
        if kind == "take":
            self._detect_take(out)
        else:
            self._detect_files(kind, out)

    def _detect_take(self, out: Path) -> None:
        from multiview.stages.detect import run_detect

        run_detect(
            self.input.open(self.capture),
            out,
            detector=self.detector,
            runtime=self.runtime,
            provider=self.provider,
            passes=self.passes,
            max_hands=self.max_hands,
            workers=self.workers,
            force=self.force,
        )

    def _guide(self) -> None:
        """Look again where 3D says that a hand must be."""
        from multiview.stages.detect_files import default_out, kind_of

        if self.guide is None or self.source or kind_of(self.capture) != "take":
            raise InputError(
                "--guide needs a take and the folder of its 3D; --guide-detections and --reread "
                "go with it",
                "multiview detect TAKE --guide TRIANGULATED --out OUT",
            )
        from multiview.guided import GuideConfig
        from multiview.stages.guide import run_guide

        first = default_out(self.capture, "take")
        run_guide(
            self.input.open(self.capture),
            self.guide,
            self.out or first.with_name(f"{first.name}-guided"),
            detections=self.guide_detections,
            detector=self.detector,
            config=GuideConfig(reread=self.reread),
            force=self.force,
            runtime=self.runtime,
            provider=self.provider,
        )

    def _detect_files(self, kind: str, out: Path) -> None:
        from multiview.stages.detect_files import FileOptions, run_photos

        names = FileOptions.__dataclass_fields__
        options = FileOptions(**{n: getattr(self, n) for n in names})
        if kind in {"photo", "photos"}:
            run_photos(self.capture, out, options)
            return
        from multiview.stages.detect_video import run_camera, run_video

        if kind == "camera":
            run_camera(int(str(self.capture)), out, options)
        else:
            run_video(self.capture, out, options)

    def _read(self, out: Path) -> None:
        """Take what another program found instead of detecting."""
        if self.source is None or self.detector != "precomputed":
            raise InputError(
                "--detector precomputed and --from PATH belong together",
                "multiview detect TAKE --detector precomputed --from PATH --out OUT",
            )
        from multiview.stages.precomputed import PrecomputedOptions, run_precomputed

        run_precomputed(
            self.input.open(self.capture),
            self.source,
            out,
            PrecomputedOptions(max_hands=self.max_hands, **self.reading()),
            force=self.force,
        )


class Triangulate(Config):
    """Triangulate 3D keypoints by a vote of whole fingers over all pairs of views."""

    detections: Positional[Path]
    """Folder of `detect`, or a detections table."""
    rig: Path
    """Rig file."""
    out: Path
    """Output folder: points.parquet, report.md."""
    ransac: TriangulationConfig = TriangulationConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.triangulate import run_triangulate

        run_triangulate(self.detections, self.rig, self.out, self.ransac, force=self.force)


class Label(Config):
    """Reproject the 3D keypoints into every view as COCO labels with their pictures."""

    capture: Positional[Path]
    """The take."""
    detections: Path
    """Folder of `detect`."""
    points: Path
    """Folder of `triangulate`."""
    out: Path
    """Output folder: coco.json, images/, contact_sheet.png."""
    label: LabelConfig = LabelConfig()
    pictures: bool = True
    """Write the labelled pictures too."""
    video: bool = False
    """Write an overlay video a camera."""
    input: _CaptureConfig = _CaptureConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.label import run_label

        run_label(
            self.input.open(self.capture),
            self.detections,
            self.points,
            self.out,
            self.label,
            pictures=self.pictures,
            video=self.video,
            force=self.force,
        )


class Evaluate(Config):
    """Compare 3D keypoints with a known truth."""

    points: Positional[Path]
    """Folder of `triangulate`."""
    truth: Path
    """npz with xyz_world (F, H, K, 3), metres."""
    truth_rig: Path | None = None
    """The true cameras, if the worlds differ by a rigid motion."""

    def run(self) -> None:
        """Run the verb."""
        from dataclasses import asdict

        from multiview.formats.points_parquet import read_points
        from multiview.formats.rig_yaml import read_rig
        from multiview.progress import say
        from multiview.stages.evaluate import evaluate, read_truth

        result = evaluate(
            read_points(self.points / "points.parquet"),
            read_rig(self.points / "rig.yaml"),
            read_truth(self.truth),
            read_rig(self.truth_rig) if self.truth_rig else None,
        )
        for name, value in asdict(result).items():
            say(f"{name:<18} {value if isinstance(value, str) else format(value, '.3f')}")


class Convert(_KeypointFiles):
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


class Demo(Config):
    """Run the whole chain on the capture that ships with the package, and compare with truth."""

    out: Path = Path("out/demo")
    """Output folder."""
    force: bool = False
    """Replace older, different results."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.demo import run_demo

        run_demo(self.out, force=self.force)


VERBS: dict[str, type[Config]] = {
    "init": Init,
    "calibrate": Calibrate,
    "detect": Detect,
    "triangulate": Triangulate,
    "label": Label,
    "evaluate": Evaluate,
    "convert": Convert,
    "models": Models,
    "demo": Demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except MultiviewError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted: finished parts are kept; run the same command again to go on",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        return 1


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        from multiview.stage import package_version

        print(package_version())
        return 0
    if not arguments or arguments[0] in {"-h", "--help"} or arguments[0] not in VERBS:
        return _overview(arguments)
    verb = VERBS[arguments[0]]
    rest, default = _with_config(verb, arguments[1:])
    options: dict[str, Any] = {} if default is None else {"default": default}
    command = tyro.cli(verb, prog=f"multiview {arguments[0]}", args=rest, **options)
    command.run()
    return 0


def _overview(arguments: list[str]) -> int:
    """List the verbs; complain when one was given that does not exist."""
    lines = ["usage: multiview VERB ... (multiview VERB --help)", ""]
    lines += [
        f"  {name:<12} {(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()
    ]
    lines += ["", "every verb but init reads defaults from --config FILE.yaml; start with: demo"]
    known = not arguments or arguments[0] in {"-h", "--help"}
    if known:
        print("\n".join(lines))
        return 0
    import difflib

    near = difflib.get_close_matches(arguments[0], VERBS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(VERBS)}"
    print(f"error: there is no verb {arguments[0]!r}\n  next: {hint}", file=sys.stderr)
    return 2


def _with_config(verb: type[Config], arguments: list[str]) -> tuple[list[str], Config | None]:
    """Take ``--config FILE`` out of the arguments and read it as the defaults.

    The file may leave out what the line gives.
    """
    split = [part for a in arguments for part in _split_config(a)]
    if "--config" not in split:
        return arguments, None
    at = split.index("--config")
    if at + 1 >= len(split):
        raise MultiviewError("--config needs a file", "multiview VERB --config FILE.yaml ...")
    path = Path(split[at + 1])
    data = load_yaml(path)
    given = data if isinstance(data, dict) else {}
    absent = [n for n, f in verb.model_fields.items() if f.is_required() and n not in given]
    # every required option is a path, so any text passes for one while the rest is checked
    checked = parse_config(
        given | dict.fromkeys(absent, "-") if given else data, verb, where=str(path)
    )
    values = {n: getattr(checked, n) for n in verb.model_fields}
    default = verb.model_construct(**values | dict.fromkeys(absent, tyro.MISSING))
    return split[:at] + split[at + 2 :], default


def _split_config(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith("--config=") else [argument]


if __name__ == "__main__":
    sys.exit(main())
