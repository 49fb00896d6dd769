"""The exception tree: every error a user can cause says what, where, and what to do next."""

from __future__ import annotations

__all__ = [
    "CalibrationError",
    "CaptureError",
    "ConfigError",
    "InputError",
    "ModelError",
    "MultiviewError",
    "NoLabelError",
    "ShapeError",
    "StaleStageError",
]


class MultiviewError(Exception):
    """Base of all errors that the command line reports in one line, with exit code 2.

    Parameters
    ----------
    what
        What is wrong, naming the camera, file or frame.
    next_step
        What the user can do about it; printed on a line of its own.
    """

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(f"{what}\n  next: {next_step}" if next_step else what)


class InputError(MultiviewError):
    """A value or file given by the user cannot be used."""


class ShapeError(InputError):
    """An array has the wrong shape, dtype or contains values that it may not."""


class ConfigError(InputError):
    """A configuration or YAML file has a misspelt key or a value out of range."""


class NoLabelError(InputError):
    """No label of a take passes; other takes may have some."""


class CaptureError(InputError):
    """A camera folder, video or image is missing, unreadable or inconsistent."""


class ModelError(MultiviewError):
    """A network file or its card is missing, damaged or not what it claims to be."""


class CalibrationError(MultiviewError):
    """The footage does not determine the rig."""


class StaleStageError(MultiviewError):
    """An output folder holds results of other inputs or another configuration."""
