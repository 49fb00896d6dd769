"""The command line: one verb a stage. Nothing imports this module.

Exit codes: 0 done, 2 an error the user can act on (one message, no traceback), 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import tyro
from pydantic import Field
from tyro.conf import Positional

from multiview.bootstrap.labels import LabelConfig
from multiview.config import Config, load_yaml, parse_config
from multiview.errors import MultiviewError
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


class Detect(Config):
    """Detect hands in every picture of a take; continues where it was interrupted."""

    capture: Positional[Path]
    """Folder with one video or image folder a camera."""
    out: Path
    """Output folder: detections.parquet."""
    detector: str = "hand"
    """hand (MediaPipe full) or mediapipe-lite."""
    max_hands: int = Field(2, ge=1, le=20)
    """Hands kept a picture."""
    input: _CaptureConfig = _CaptureConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.detect import run_detect

        run_detect(
            self.input.open(self.capture),
            self.out,
            detector=self.detector,
            max_hands=self.max_hands,
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


class Convert(Config):
    """Convert a rig or detections of another program (TemugeB handpose3d, caliscope, pyxy3d)."""

    source: Positional[Path]
    """Folder or file of the other program."""
    out: Path
    """A .yaml rig or .parquet detections file."""
    size_wh: tuple[int, int] | None = None
    """Image size, where the source does not state it."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.convert import run_convert

        run_convert(self.source, self.out, self.size_wh)


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
