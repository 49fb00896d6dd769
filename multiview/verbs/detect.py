"""The verb `detect`: photos, films, cameras, takes, and what other programs found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from tyro.conf import FlagCreatePairsOff, Positional, arg

from multiview.errors import InputError
from multiview.verbs.options import CaptureOptions, KeypointFileOptions, refuse_options

if TYPE_CHECKING:
    from multiview.capture import Capture

__all__ = ["Detect"]

ALWAYS = {"capture", "out", "force", "detector"}
RUN = ALWAYS | {"runtime", "provider", "passes"}
PICTURES = RUN | {"max_hands", "small_hands", "map", "show", "parquet"}
FILM = PICTURES | {"smooth", "track", "no_track", "search_every", "seconds", "frames"}
# What means something for what; all else is refused rather than ignored.
VALID = {
    "photo": PICTURES,
    "photos": PICTURES,
    "video": FILM,
    "camera": FILM,
    "take": RUN
    | {"workers", "max_hands", "small_hands", "track", "no_track", "search_every", "input", "rig"}
    | {"guided"},
    "guide": RUN | {"input", "guide", "guide_detections", "reread"},
    "precomputed": ALWAYS
    | {"max_hands", "input", "source", "format", "images", "keypoints", "trust_labels"},
}
NAMES = {
    "photo": "a photo",
    "photos": "photos",
    "video": "a video",
    "camera": "a camera",
    "take": "a take",
    "guide": "a second pass (--guide)",
    "precomputed": "keypoints of another program (--from)",
}
SPELLING = {"source": "from"}


class Detect(KeypointFileOptions):
    """Detect hands in a photo, a folder of photos, a video, a camera (0, 1, ...), or a take.

    A folder is a take if it holds videos, camera folders or a capture.yaml; with pictures directly
    in it, it is photos. An interrupted run goes on where it was. Options that mean nothing for what
    was given are refused.
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
    """Read every hand so many times more; a smaller error and a sharper confidence."""
    small_hands: bool = False
    """Search for hands of 40 pixels too, in overlapping tiles: 10 to 100 times the search."""
    workers: int | None = Field(None, ge=1)
    """Takes: threads that detect; one a core by default. The result is the same."""
    max_hands: int = Field(2, ge=1, le=20)
    """Hands kept a picture."""
    map: str | None = None
    """Lay the probability map of this keypoint (index4, or 8) over the pictures. Not for takes."""
    smooth: bool = False
    """Draw and export smoothed points too (video, camera); the lag is stated."""
    track: Annotated[bool, FlagCreatePairsOff] = False
    """Follow hands from picture to picture: always so for video and camera, off for takes, where
    errors of a tracked hand last over frames, which a vote over views does not see."""
    no_track: Annotated[bool, FlagCreatePairsOff] = False
    """Video, camera: every picture on its own."""
    search_every: int = Field(1, ge=1)
    """While a hand is tracked, search for others in every n-th picture only (video, camera; takes
    with --track)."""
    seconds: float | None = Field(None, gt=0)
    """Stop after so long (video, camera)."""
    frames: int | None = Field(None, ge=1)
    """Stop after so many pictures (video, camera)."""
    show: bool = False
    """Show the result in a window, if there is a display. Not for takes."""
    parquet: bool = False
    """Write hands.parquet beside hands.json."""
    input: CaptureOptions = CaptureOptions()
    rig: Path | None = None
    """Takes: triangulate too, by this rig, into OUT-3d. Finished parts are triangulated while the
    next are detected (provisional figures), the whole take at the end."""
    guided: bool = False
    """With --rig: then look again where the 3D puts hands that were not found, into OUT-guided, and
    triangulate both passes into OUT-guided-3d."""
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

        job = self._job()
        kind = "take" if job else kind_of(self.capture)
        refuse_options(self, VALID[job or kind], NAMES[job or kind], SPELLING)
        self._check_tracking(kind)
        first = default_out(self.capture, kind)
        out = self.out or first
        if job == "guide":
            assert self.guide is not None
            second = self.out or first.with_name(f"{first.name}-guided")
            self._guide(self.input.open(self.capture), self.guide, second)
        elif job == "precomputed":
            self._read(out)
        elif kind == "take":
            self._detect_take(out)
        else:
            self._detect_files(kind, out)

    def _job(self) -> Literal["guide", "precomputed"] | None:
        """Name what the options ask for, if not simply to detect."""
        from multiview.stages.detect_files import kind_of

        if self.guide or self.guide_detections or self.reread:
            if self.guide is None or self.source or kind_of(self.capture) != "take":
                raise InputError(
                    "--guide needs a take and the folder of its 3D; --guide-detections and "
                    "--reread go with it",
                    "multiview detect TAKE --guide TRIANGULATED --out OUT",
                )
            return "guide"
        if self.source is None and self.detector != "precomputed":
            return None
        if self.source is None or self.detector != "precomputed":
            raise InputError(
                "--detector precomputed and --from PATH belong together",
                "multiview detect TAKE --detector precomputed --from PATH --out OUT",
            )
        return "precomputed"

    def _check_tracking(self, kind: str) -> None:
        """Refuse options that contradict each other."""
        tracks = not self.no_track and (self.track or kind in {"video", "camera"})
        if self.track and self.no_track:
            raise InputError("--track and --no-track", "give one of them")
        if self.search_every > 1 and not tracks:
            raise InputError("--search-every needs tracking", "add --track, or leave it out")
        if self.smooth and not tracks:
            raise InputError("--smooth needs tracking", "leave out --no-track or --smooth")

    def _extra(self) -> dict[str, Any]:
        """Options that not every detector has."""
        return {"small_hands": True} if self.small_hands else {}

    def _detect_take(self, out: Path) -> None:
        from multiview.stages.detect import run_detect

        if self.guided and self.rig is None:
            raise InputError(
                "--guided needs 3D to be guided by", "add --rig RIG, or give --guide TRIANGULATED"
            )
        capture = self.input.open(self.capture)
        run_detect(
            capture,
            out,
            detector=self.detector,
            runtime=self.runtime,
            provider=self.provider,
            passes=self.passes,
            max_hands=self.max_hands,
            search_every=self.search_every if self.track else 0,
            workers=self.workers,
            rig_path=self.rig,
            force=self.force,
            **self._extra(),
        )
        if self.rig is not None and self.guided:
            self._detect_again(capture, out, self.rig)

    def _detect_again(self, capture: Capture, out: Path, rig: Path) -> None:
        """Look where the 3D of a first pass says that a hand must be, and triangulate both."""
        from multiview.stages.live import points_folder
        from multiview.stages.triangulate import run_triangulate
        from multiview.triangulation import TriangulationConfig

        second = out.with_name(f"{out.name}-guided")
        self._guide(capture, points_folder(out), second)
        to, config = points_folder(second), TriangulationConfig()
        run_triangulate(second, rig, to, config, force=self.force)

    def _guide(self, capture: Capture, folder: Path, out: Path) -> None:
        """Look again where 3D says that a hand must be."""
        from multiview.guided import GuideConfig
        from multiview.stages.guide import run_guide

        run_guide(
            capture,
            folder,
            out,
            detections=self.guide_detections,
            detector=self.detector,
            config=GuideConfig(reread=self.reread),
            force=self.force,
            runtime=self.runtime,
            provider=self.provider,
            passes=self.passes,
        )

    def _detect_files(self, kind: str, out: Path) -> None:
        from multiview.stages.detect_files import FileOptions, run_photos

        names = [n for n in FileOptions.__dataclass_fields__ if n != "track"]
        options = FileOptions(track=not self.no_track, **{n: getattr(self, n) for n in names})
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
        from multiview.stages.precomputed import PrecomputedOptions, run_precomputed

        assert self.source is not None
        run_precomputed(
            self.input.open(self.capture),
            self.source,
            out,
            PrecomputedOptions(max_hands=self.max_hands, **self.reading()),
            force=self.force,
        )
