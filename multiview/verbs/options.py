"""Options that several verbs share, and the refusal of those that mean nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from multiview.config import Config
from multiview.errors import InputError
from multiview.formats.keypoint_names import KeypointChoice
from multiview.formats.keypoint_table import KeypointFormat

__all__ = ["CaptureOptions", "KeypointFileOptions", "refuse_options"]


class CaptureOptions(Config):
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


class KeypointFileOptions(Config):
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
        given = {n: getattr(self, n) for n in KeypointFileOptions.model_fields}
        return given | {"trust_labels": self.trust_labels or None}


def refuse_options(
    given: Config, valid: Collection[str], what: str, spelling: Mapping[str, str] | None = None
) -> None:
    """Refuse options that were given but mean nothing for what is to be done.

    Parameters
    ----------
    given
        The options; one at its default counts as not given.
    valid
        Names of the fields that mean something.
    what
        What is to be done, for the message.
    spelling
        Options that the command line spells otherwise than the field.

    Raises
    ------
    InputError
        Naming all of them.
    """
    fields = type(given).model_fields
    wrong = [
        n
        for n, field in fields.items()
        if n not in valid and not field.is_required() and getattr(given, n) != field.default
    ]
    if not wrong:
        return
    names = [(spelling or {}).get(n, n.replace("_", "-")) for n in wrong]
    raise InputError(
        f"--{', --'.join(names)} mean{'s' * (len(names) == 1)} nothing for {what}",
        "leave it out" if len(names) == 1 else "leave them out",
    )
