"""How a rig was made: what its file carries, so that it can be judged without its footage."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CameraRecord", "RigRecord"]

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRecord:
    """What is known of one camera's accuracy; NaN where it is not known.

    Parameters
    ----------
    name
        As in the rig.
    lens
        Lens model in words, e.g. ``"brown, 5 coefficients"``.
    views, corners, rejected
        Board views and corners found, and corners dropped as outliers.
    rms_px, noise_px
        Error length of the corners kept (root mean square), and corner noise per coordinate.
    focal_std_px, centre_std_px
        Standard deviations of the focal length and the principal point; 0 where they were given.
    rotation_std_deg, position_std_m
        Standard deviations of the pose against the world: the lengths' root mean square.
    """

    name: str
    lens: str = ""
    views: int = 0
    corners: int = 0
    rejected: int = 0
    rms_px: float = NAN
    noise_px: float = NAN
    focal_std_px: float = NAN
    centre_std_px: float = NAN
    rotation_std_deg: float = NAN
    position_std_m: float = NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class RigRecord:
    """Provenance of a rig.

    Parameters
    ----------
    program
        Name and version of what made it, e.g. ``"multiview 0.1.0"``.
    date
        ISO 8601, UTC.
    capture
        Digest of the footage; empty where there was none.
    boards
        What was filmed, in words.
    rms_px
        Error length of the corners used, root mean square.
    heldout_px, heldout_mm
        On boards left out: error in one view predicted from the others, and distance of corners
        triangulated one by one from their board (thousandths of the rig's unit).
    cameras
        One a camera of the calibration (a rig of fewer cameras keeps them all).
    steps
        What was done to the rig since, oldest first: new world frames, new scales.
    warnings
        What the calibration asked to look at.
    """

    program: str
    date: str = ""
    capture: str = ""
    boards: tuple[str, ...] = ()
    rms_px: float = NAN
    heldout_px: float = NAN
    heldout_mm: float = NAN
    cameras: tuple[CameraRecord, ...] = ()
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
