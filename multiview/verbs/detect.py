"""The verb `detect`: photos, films, cameras, takes, and what other programs found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional, arg

from multiview.errors import InputError
from multiview.verbs.options import CaptureOptions, KeypointFileOptions

__all__ = ["Detect"]


class Detect(KeypointFileOptions):
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
    input: CaptureOptions = CaptureOptions()
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
            passes=self.passes,
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
