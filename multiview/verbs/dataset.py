"""The verbs of the group `dataset`: training data in any layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator
from tyro.conf import Positional

from multiview.bootstrap.splits import SplitConfig
from multiview.config import Config

__all__ = ["DatasetCheck", "DatasetConvert", "DatasetInfo", "DatasetSplit"]

Hands = Literal["all", "known", "left", "right"]


class _FromDatasets(Config):
    """Options of the verbs that make a dataset of others."""

    sources: Positional[tuple[Path, ...]]
    """Datasets of any format, or folders of `multiview label`."""
    out: Path
    """New folder; `name.coco` says its format."""
    hands: Hands = "all"
    """Which hands to keep: all, known (left or right), left, right."""
    complete: bool = False
    """Keep only hands that have all keypoints in 3D."""
    force: bool = False
    """Replace a dataset that is there."""

    @field_validator("sources", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """Let a configuration file name one dataset, or list some."""
        return [str(value)] if isinstance(value, str | Path) else value


class DatasetConvert(_FromDatasets):
    """Join datasets and write them in another format, pictures linked."""

    format: str = ""
    """parquet, coco, yolo, wholebody, hand_labels, panopticdb, freihand, interhand, panoptic, slp,
    deeplabcut, webdataset (docs/formats.md)."""
    source_format: str = ""
    """Format of the sources, where their files do not tell."""
    pictures: Path | None = None
    """Folder of the pictures, where they are not in the dataset."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.dataset import run_convert_dataset

        run_convert_dataset(
            self.sources,
            self.out,
            format=self.format,
            source_format=self.source_format,
            pictures=self.pictures,
            select=(self.hands, self.complete),
            force=self.force,
        )


class DatasetSplit(_FromDatasets):
    """Divide datasets into train, val and test by session, subject or time, never by frame."""

    format: str = "parquet"
    """See `dataset convert`."""
    split: SplitConfig = SplitConfig()

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.dataset import run_split_dataset

        run_split_dataset(
            self.sources,
            self.out,
            self.split,
            format=self.format,
            select=(self.hands, self.complete),
            force=self.force,
        )


class DatasetCheck(Config):
    """Check a dataset: counts, flags, boxes, labels outside pictures, pictures, leaks, digest.

    Exit code 0: whole; 1: something is wrong; 2: it cannot be read.
    """

    source: Positional[Path]
    """Dataset of any format."""
    format: str = ""
    """Its format, where its files do not tell."""

    def run(self) -> int:
        """Run the verb; return the exit code."""
        from multiview.stages.dataset_check import run_check_dataset

        return 0 if run_check_dataset(self.source, self.format) else 1


class DatasetInfo(Config):
    """Say what a dataset holds: splits, sessions, cameras, rounds, how sure its labels are."""

    source: Positional[Path]
    """Dataset of any format."""
    format: str = ""
    """Its format, where its files do not tell."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.dataset_check import run_info_dataset

        run_info_dataset(self.source, self.format)
