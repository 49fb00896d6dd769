"""`multiview detect` for one video or a camera: hands tracked from picture to picture.

A film is read in shards of 60 pictures. Each shard's file ends with the state of the tracker, so a
run that was killed goes on to the same result, to the last digit, as one that was not. Drawing is a
second pass over the film: smoothing, the overlay video and the contact sheet come from the stored
hands.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from multiview._video import VideoSource, open_video
from multiview.core import Skeleton
from multiview.errors import CaptureError, InputError
from multiview.formats.atomic import replacing, write_text
from multiview.formats.hands_json import keypoints_of, plain
from multiview.models.base import U8, Detector
from multiview.models.smoothing import STATED_SPEED, OneEuro
from multiview.models.tracking import Tracker
from multiview.progress import progress_bar, say
from multiview.stage import Stage
from multiview.stages.detect_files import (
    SHARD,
    FileOptions,
    check_shown,
    draw_keypoint_map,
    finish,
    hands_of,
    picture_record,
    write_picture,
    write_results,
)
from multiview.stages.network import load_for
from multiview.viz.hands import TILES_A_SHEET, draw_frame, photo_sheets, photo_tile
from multiview.viz.video import VideoWriter
from multiview.viz.window import Window, no_window_because

__all__ = ["run_camera", "run_video", "smooth_records"]

Record = dict[str, Any]
SHEET_FRAMES = min(24, TILES_A_SHEET)
CAMERA_TICK_S = 1e-4  # JSON keeps four decimals of a time


def run_video(path: Path, out: Path, options: FileOptions) -> Path:
    """Detect and track hands in a video.

    Writes ``hands.json``, ``overlay.mp4``, ``contact_sheet.jpg``, and with ``parquet`` also
    ``hands.parquet``.

    Parameters
    ----------
    path
        Any container and codec that FFmpeg knows.
    out
        Output folder.
    options
        See the help of the verb.

    Raises
    ------
    CaptureError
        If the file is no video, has no frames, or a frame does not decode.
    """
    try:
        source = open_video(path.stem, path)
    except CaptureError as error:
        what = error.what.removeprefix(f"camera {path.stem}: ")
        raise CaptureError(what, error.next_step) from None
    sha = hashlib.sha256()
    source.fingerprint(sha)
    stage = Stage(
        "detect", options.config("video"), {path.name: sha.hexdigest()[:16]}, out, options.force
    )
    if stage.done:
        say(f"detect: {out} is up to date")
        return out
    detector = load_for(stage, options.load)
    records = _detect(stage, source, detector, options)
    smoothing = smooth_records(records) if options.smooth else None
    if not (stage.work / "overlay.mp4").exists():
        _draw(stage.work, source, records, detector, options)
    _sheet(stage.work, source, records, detector)
    write_results(stage, records, detector, options, smoothing)
    finish(stage, records, f"{sum(bool(r['hands']) for r in records)} of {len(records)} frames")
    check_shown(options, out)
    return out


def _wanted(source: VideoSource, options: FileOptions) -> np.ndarray:
    """Frames within ``seconds`` and ``frames``, (M,)."""
    chosen = np.arange(len(source.times))
    if options.seconds is not None:
        chosen = chosen[source.times - source.times[0] < options.seconds]
    return chosen[: options.frames]


def _detect(
    stage: Stage, source: VideoSource, detector: Detector, options: FileOptions
) -> list[Record]:
    """Track through the film; shards that are there are not done again."""
    wanted, records = _wanted(source, options), list[Record]()
    tracker = Tracker(detector, options.max_hands, options.search_every)
    shown = options.show and not no_window_because()
    with progress_bar() as progress:
        for number, start in enumerate(range(0, len(wanted), SHARD)):
            path = stage.work / f"shard-{number:05d}.json"
            if not path.exists():
                part = []
                with closing(source.frames(wanted[start : start + SHARD])) as frames:
                    for n, image in frames:
                        part.append(_step(tracker, image, n, float(source.times[n]), options))
                        shown = shown and _show(image, part[-1], detector.skeleton)
                        progress("detect", start + len(part), len(wanted))
                write_text(path, json.dumps({"pictures": part, "tracker": tracker.state()}))
            shard = json.loads(path.read_text(encoding="utf-8"))
            tracker.restore(shard["tracker"])
            records += shard["pictures"]
    return records


def _step(tracker: Tracker, image: U8, number: int, time_s: float, options: FileOptions) -> Record:
    if not options.track:
        tracker.reset()
    hands, ids = tracker.step(image)
    record = picture_record(image, hands, ids.tolist() if options.track else None)
    return {"frame": number, "time_s": plain(time_s), **record}


def _show(image: U8, record: Record, skeleton: Skeleton) -> bool:
    """Show a picture; False once the user wants no more."""
    drawn = image.copy()
    draw_frame(drawn, hands_of(record, skeleton), skeleton, _ids(record))
    return Window("multiview detect").show(drawn)


def _ids(record: Record) -> list[int] | None:
    ids = [h["id"] for h in record["hands"]]
    return None if None in ids else ids


def smooth_records(records: list[Record]) -> dict[str, Any]:
    """Add smoothed keypoints to every hand, by its track; returns what the file says of it."""
    filters: dict[int, OneEuro] = {}
    seen: dict[int, int] = {}
    for at, record in enumerate(records):
        for hand in record["hands"]:
            number = hand["id"]
            if seen.get(number) != at - 1:  # nothing is carried over a gap
                filters[number] = OneEuro()
            seen[number] = at
            xy = keypoints_of(hand)[:, :2]
            hand["smoothed"] = plain(filters[number](record["time_s"], xy))
    run = OneEuro()
    say(f"detect: smoothed points trail by {run.lag_text}; triangulation never uses them")
    return {
        "filter": "One-Euro",
        "min_cutoff_hz": run.min_cutoff_hz,
        "beta_hz_per_hand_length_per_s": run.beta,
        "speed_cutoff_hz": run.speed_cutoff_hz,
        "lag_s": {"rest": run.lag_s(), "one_hand_length_per_s": run.lag_s(STATED_SPEED)},
    }


def _draw(
    folder: Path,
    source: VideoSource,
    records: list[Record],
    detector: Detector,
    options: FileOptions,
) -> None:
    """Write the overlay video."""
    key = "smoothed" if options.smooth else "keypoints"
    numbers = np.array([r["frame"] for r in records])
    first = records[0]["time_s"]
    with (
        progress_bar() as progress,
        replacing(folder / "overlay.mp4") as temporary,
        VideoWriter(temporary, source.size_wh) as writer,
        closing(source.frames(numbers)) as frames,
    ):
        for (_, image), record in zip(frames, records, strict=True):
            hands = hands_of(record, detector.skeleton, key)
            drawn = image.copy()
            draw_keypoint_map(drawn, image, hands, detector, options.map)
            draw_frame(drawn, hands, detector.skeleton, _ids(record))
            writer.add(drawn, record["time_s"] - first)
            progress("overlay", record["frame"] + 1, len(records))


def _sheet(folder: Path, source: VideoSource, records: list[Record], detector: Detector) -> None:
    """Write the contact sheet: pictures spread over the film."""
    chosen = np.unique(np.linspace(0, len(records) - 1, SHEET_FRAMES).astype(int))
    tiles = []
    for at in chosen.tolist():
        number = records[at]["frame"]
        with closing(source.frames(np.array([number]))) as frames:
            _, image = next(frames)
        hands = hands_of(records[at], detector.skeleton)
        tiles.append(photo_tile(image, hands, detector.skeleton, f"frame {number}"))
    for sheet in photo_sheets(tiles):
        write_picture(folder / "contact_sheet.jpg", sheet)


def run_camera(index: int, out: Path, options: FileOptions) -> Path:
    """Detect and track hands live, until ctrl-C, the limits, or q in the window.

    Writes what `run_video` writes, without a contact sheet; the overlay is written as it goes.

    Parameters
    ----------
    index
        Number of the camera, as OpenCV counts.
    out
        Output folder.
    options
        ``seconds`` and ``frames`` limit the recording.

    Raises
    ------
    InputError
        If there is no such camera, or it gives no picture.
    """
    config = options.config("video") | {"kind": "camera"}
    camera = _open_camera(index)
    try:
        # a new recording every time: never "up to date"
        inputs = {f"camera {index}": time.strftime("%Y-%m-%dT%H:%M:%S")}
        stage = Stage("detect", config, inputs, out, options.force)
        detector = load_for(stage, options.load)
        records = _record(stage.work, camera, detector, options)
    finally:
        camera.release()
    if not records:
        raise InputError(f"camera {index} gave no picture", "close other programs that use it")
    smoothing = smooth_records(records) if options.smooth else None
    write_results(stage, records, detector, options, smoothing)
    finish(stage, records, f"{sum(bool(r['hands']) for r in records)} of {len(records)} frames")
    check_shown(options, out)
    return out


def _open_camera(index: int) -> cv2.VideoCapture:
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)  # the message below says it
    try:
        camera = cv2.VideoCapture(index)
    finally:
        log.setLogLevel(before)
    if not camera.isOpened():
        camera.release()
        raise InputError(
            f"there is no camera {index}, or another program uses it",
            "try 0, 1, ..., close other programs, or give a file",
        )
    return camera


def _record(
    folder: Path, camera: cv2.VideoCapture, detector: Detector, options: FileOptions
) -> list[Record]:
    """Read, detect and draw until something ends it; ctrl-C keeps what is there."""
    tracker = Tracker(detector, options.max_hands, options.search_every)
    shown = options.show and not no_window_because()
    records: list[Record] = []
    pictures = _live(camera, options)
    first = next(pictures, None)
    if first is None:
        return records
    size_wh = (first[1].shape[1], first[1].shape[0])
    with replacing(folder / "overlay.mp4") as temporary, VideoWriter(temporary, size_wh) as writer:
        say("detect: recording; ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            item: tuple[float, U8] | None = first
            while item is not None:
                at, image = item
                record = _step(tracker, image, len(records), at, options)
                hands = hands_of(record, detector.skeleton)
                drawn = image.copy()
                draw_keypoint_map(drawn, image, hands, detector, options.map)
                draw_frame(drawn, hands, detector.skeleton, _ids(record))
                writer.add(drawn, at)
                records.append(record)
                if shown and not Window("multiview detect").show(drawn):
                    break
                item = next(pictures, None)
    return records


def _live(camera: cv2.VideoCapture, options: FileOptions) -> Iterator[tuple[float, U8]]:
    """Give seconds since the first picture, and the picture."""
    start, count, last = time.monotonic(), 0, 0.0
    while options.frames is None or count < options.frames:
        good, image = camera.read()
        if not good or image is None:
            return
        if not count:
            start = time.monotonic()
        at = max(time.monotonic() - start, last + CAMERA_TICK_S) if count else 0.0
        if options.seconds is not None and at >= options.seconds:
            return
        yield at, np.asarray(image, np.uint8)
        count, last = count + 1, at
