"""`multiview detect` for one photo or a folder of photos; what a path is, and what is written.

What the path is decides what happens (`kind_of`): a picture is a photo; a video is one film; a
number that is no file is a camera; a folder with videos, camera folders or a ``capture.yaml`` is a
take of several cameras (`multiview.stages.detect`); a folder whose pictures lie directly in it is
photos.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from multiview._files import is_image, is_video, visible
from multiview._layout import CAPTURE_FILE
from multiview.core import Skeleton
from multiview.errors import InputError
from multiview.formats.atomic import replacing, write_text
from multiview.formats.hands_json import keypoint_rows, keypoints_of, plain, write_hands
from multiview.images import read_image
from multiview.models.base import U8, Detector, ImageHands
from multiview.models.card import ModelCard, load_card
from multiview.models.confidence import confidence_digest
from multiview.models.load import load_detector
from multiview.models.maps import keypoint_maps, keypoint_number
from multiview.progress import progress_bar, say
from multiview.stage import Stage, file_digest, provenance
from multiview.stages.network import load_for
from multiview.viz.hands import draw_map, draw_photo, photo_sheets, photo_tile
from multiview.viz.window import Window, no_window_because

__all__ = ["FileOptions", "default_out", "kind_of", "run_photos"]

Kind = Literal["photo", "photos", "video", "camera", "take"]
# Photos a shard: what a kill can lose at most.
SHARD = 60
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """Options of `multiview detect` for photos, films and cameras; see its help."""

    detector: str = "hand"
    runtime: str = "cv2"
    provider: str = "cpu"
    passes: int = 0
    max_hands: int = 2
    small_hands: bool = False
    map: str | None = None
    smooth: bool = False
    track: bool = True
    search_every: int = 1
    show: bool = False
    seconds: float | None = None
    frames: int | None = None
    parquet: bool = False
    force: bool = False

    def card(self) -> ModelCard:
        """Read the card of the detector."""
        return load_card(self.detector)

    def load(self) -> Detector:
        """Load the detector."""
        return load_detector(
            self.detector,
            runtime=self.runtime,
            provider=self.provider,
            passes=self.passes,
            max_hands=self.max_hands,
            **({"small_hands": True} if self.small_hands else {}),
        )

    def config(self, kind: str) -> dict[str, Any]:
        """Choose what determines the result, for the manifest."""
        names = ["detector", "runtime", "provider", "passes", "max_hands", "small_hands"]
        names += ["map", "parquet"]
        if kind == "video":
            names += ["smooth", "track", "search_every", "seconds", "frames"]
        card = self.card()
        if self.map is not None:
            keypoint_number(card.keypoints, self.map)  # before any work
        weights = {key: file.sha256 for key, file in card.weights.items()}
        about = {"weights": weights, "confidence": confidence_digest(card, self.passes)}
        return {"kind": kind} | about | {n: getattr(self, n) for n in names}


def kind_of(path: Path) -> Kind:
    """Decide what a path is, by the rule above.

    Raises
    ------
    InputError
        If it does not exist.
    """
    if not path.exists():
        if str(path).isdecimal():
            return "camera"
        raise InputError(f"{path} does not exist", "give a photo, a video, a folder, or 0")
    if path.is_dir():
        entries = visible(path)
        take = (path / CAPTURE_FILE).exists() or any(p.is_dir() or is_video(p) for p in entries)
        return "photos" if not take and any(map(is_image, entries)) else "take"
    if path.suffix.lower() in {".yaml", ".yml"}:
        return "take"
    return "video" if is_video(path) else "photo"


def default_out(path: Path, kind: Kind) -> Path:
    """Folder for the result when none is given: ``out/<stem>``."""
    resolved = path.resolve()
    name = resolved.name if resolved.is_dir() else resolved.stem
    return Path("out") / (f"camera{path}" if kind == "camera" else name)


def run_photos(path: Path, out: Path, options: FileOptions) -> Path:
    """Detect hands in a photo or a folder of them.

    Writes ``hands.json``, ``overlay/*.jpg``, for a folder ``contact_sheet*.jpg``, and with
    ``parquet`` also ``hands.parquet``.

    Parameters
    ----------
    path
        A picture, or a folder with pictures.
    out
        Output folder.
    options
        See the help of the verb.

    Raises
    ------
    InputError
        If a picture is unreadable; names it.
    """
    files = [p for p in visible(path) if is_image(p)] if path.is_dir() else [path]
    digests = {p.name: file_digest(p) for p in files if p.is_file()}
    loaded = {} if path.is_dir() else {path: read_image(path)}  # before any folder is made
    stage = Stage("detect", options.config("photos"), digests, out, options.force)
    if stage.done:
        say(f"detect: {out} is up to date")
        return out
    detector = load_for(stage, options.load)
    names = overlay_names(files)
    records = _in_shards(stage, files, names, detector, options, loaded)
    if len(files) > 1:
        tiles = (_tile(p, r, detector) for p, r in zip(files, records, strict=True))
        for number, sheet in enumerate(photo_sheets(tiles)):
            name = f"contact_sheet-{number + 1}.jpg" if number else "contact_sheet.jpg"
            write_picture(stage.work / name, sheet)
    write_results(stage, records, detector, options, None)
    found = [len(r["hands"]) for r in records]
    finish(stage, records, f"{sum(map(bool, found))} of {len(files)} photos")
    check_shown(options, out)
    if options.show:
        show_pictures([out / "overlay" / n for n in names])
    return out


def _in_shards(
    stage: Stage,
    files: Sequence[Path],
    names: Sequence[str],
    detector: Detector,
    options: FileOptions,
    loaded: dict[Path, U8],
) -> list[dict[str, Any]]:
    """Detect and draw; finished shards of an interrupted run are kept."""
    records: list[dict[str, Any]] = []
    with progress_bar() as progress:
        for start in range(0, len(files), SHARD):
            shard = stage.work / f"shard-{start // SHARD:05d}.json"
            if not shard.exists():
                part = []
                for at in range(start, min(start + SHARD, len(files))):
                    picture = stage.work / "overlay" / names[at]
                    image = loaded.pop(files[at]) if loaded else read_image(files[at])
                    part.append(_detect_photo(files[at], image, picture, detector, options))
                    progress("detect", at + 1, len(files))
                write_text(shard, json.dumps(part))
            records += json.loads(shard.read_text(encoding="utf-8"))
    return records


def _detect_photo(
    path: Path, image: U8, overlay: Path, detector: Detector, options: FileOptions
) -> dict[str, Any]:
    try:
        hands = detector.detect(image)
    except InputError as error:  # a panorama beyond what OpenCV's sampling can address
        raise InputError(f"{path}: {error.what}", error.next_step) from None
    hands = hands.take(np.arange(min(len(hands), options.max_hands)))
    drawn = image.copy()
    draw_keypoint_map(drawn, image, hands, detector, options.map)
    write_picture(overlay, draw_photo(drawn, hands, detector.skeleton))
    return {"file": path.name, **picture_record(image, hands)}


def draw_keypoint_map(
    drawn: U8, image: U8, hands: ImageHands, detector: Detector, name: str | None
) -> None:
    """Lay the map of the keypoint over the picture, in place; nothing without a name."""
    if name is None:
        return
    keypoint = keypoint_number(detector.skeleton.keypoints, name)
    maps = keypoint_maps(detector, image, hands.rois, keypoint)
    for probability, roi in zip(maps, hands.rois, strict=True):
        draw_map(drawn, roi, probability, f"map of {detector.skeleton.keypoints[keypoint]}")


def picture_record(
    image: U8, hands: ImageHands, ids: Sequence[int] | None = None
) -> dict[str, Any]:
    """Entries of one picture for ``hands.json``."""
    rows = [
        {
            "id": None if ids is None else int(ids[n]),
            "right": plain(hands.handedness[n]),
            "presence": plain(hands.presence[n]),
            "roi": plain(hands.rois[n]),
            "keypoints": keypoint_rows(hands.xy_px[n], hands.conf[n]),
        }
        for n in range(len(hands))
    ]
    return {"size_wh": [image.shape[1], image.shape[0]], "hands": rows}


def hands_of(record: dict[str, Any], skeleton: Skeleton, key: str = "keypoints") -> ImageHands:
    """Rebuild the hands of a record; with ``key="smoothed"`` at their smoothed places."""
    rows, count = record["hands"], len(skeleton.keypoints)
    table = np.array([keypoints_of(h) for h in rows]).reshape(-1, count, 3)
    xy = np.array([keypoints_of(h, key)[:, :2] for h in rows]).reshape(-1, count, 2)

    def column(name: str) -> np.ndarray:
        return np.array([np.nan if h[name] is None else h[name] for h in rows], np.float64)

    return ImageHands(
        xy_px=xy,
        conf=table[..., 2],
        handedness=column("right"),
        presence=column("presence"),
        rois=np.array([h["roi"] for h in rows], np.float64).reshape(-1, 4),
    )


def _tile(path: Path, record: dict[str, Any], detector: Detector) -> U8:
    hands = hands_of(record, detector.skeleton)
    return photo_tile(read_image(path), hands, detector.skeleton, path.name)


def overlay_names(files: Sequence[Path]) -> list[str]:
    """Name the drawn pictures: by stem, or by the whole name where two stems are equal."""
    stems = [p.stem for p in files]
    return [f"{p.stem if stems.count(p.stem) == 1 else p.name}.jpg" for p in files]


def write_picture(path: Path, image: U8) -> None:
    """Write a JPEG in one step."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise InputError(
            f"{path}: a picture of shape {image.shape} cannot be JPEG", "make it smaller"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def write_results(
    stage: Stage,
    records: list[dict[str, Any]],
    detector: Detector,
    options: FileOptions,
    smoothing: dict[str, Any] | None,
) -> None:
    """Write ``hands.json``, and ``hands.parquet`` if asked for."""
    card = options.card()
    about = {
        "detector": {
            "name": detector.name,
            "sha256": {file.file: file.sha256 for file in card.weights.values()},
            "runtime": options.runtime,
            "provider": options.provider,
            "max_hands": options.max_hands,
            "passes": options.passes,
            "calibrated": bool(getattr(detector, "calibrated", False)),
        },
        "skeleton": {
            "name": detector.skeleton.name,
            "keypoints": list(detector.skeleton.keypoints),
        },
        "smoothing": smoothing,
        "versions": provenance(),
    }
    write_hands(stage.work / "hands.json", about, records)
    if options.parquet:
        from multiview.stages.detect_table import write_table

        write_table(stage.work / "hands.parquet", records, detector, stage.out.name)


def finish(stage: Stage, records: list[dict[str, Any]], what: str) -> None:
    """Drop the shards, give the folder its name, and say what was found."""
    for shard in stage.work.glob("shard-*.json"):
        shard.unlink()
    found = sum(bool(r["hands"]) for r in records)
    hands = sum(len(r["hands"]) for r in records)
    stage.finish({"pictures": len(records), "pictures_with_hand": found, "hands": hands})
    if len(records) == 1 and "file" in records[0]:
        text = f"{hands} hand{'s' if hands != 1 else ''}" if hands else "no hand found"
    else:
        text = f"a hand in {what}" if found else f"no hand found (in {what})"
    say(f"detect: {text} -> {stage.out / 'hands.json'}")


def show_pictures(paths: Sequence[Path]) -> None:
    """Show pictures one after another until q or Escape."""
    with Window("multiview detect") as window:
        for path in paths:
            if not window.show(read_image(path), wait_ms=0):
                return


def check_shown(options: FileOptions, out: Path) -> None:
    """Say that ``--show`` could not be done, once everything else is.

    Raises
    ------
    InputError
        If a window was asked for and there can be none.
    """
    reason = no_window_because() if options.show else ""
    if reason:
        raise InputError(
            f"--show: {reason}", f"the hands were detected and drawn: see {out / 'overlay'}*"
        )
