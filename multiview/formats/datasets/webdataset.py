"""WebDataset: ``<split>-000000.tar``, ...: for every hand ``00000000.jpg``, a crop, and its JSON.

The crop is cut along whole pixels and not resized, so labels are the picture's less `offset_px`;
it is so large that turning it never shows its outside within the hand's box. The JSON has
everything: labels in pixels of the crop, its camera (principal point moved along), 3D, provenance.
The same samples give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.core import HAND_21, HandSamples
from multiview.core.samples import FLOATS, TEXTS
from multiview.errors import InputError
from multiview.formats.datasets.pictures import Pictures, encode
from multiview.formats.datasets.rows import (
    Loaded,
    Rows,
    flags_of,
    safe_name,
    split_of,
    splits_of,
)
from multiview.formats.foreign import parsing
from multiview.formats.samples_parquet import camera_from_dict, camera_to_dict
from multiview.formats.tables import skeleton_from_dict, skeleton_to_dict

__all__ = ["SHARD", "read_webdataset", "write_webdataset"]

# Crops of some 50 kB: shards of 50 MB.
SHARD = 1000
# A square turned by any angle lies in one of sqrt(2) times its side.
AROUND = float(np.sqrt(2))
LISTS = [n for n in FLOATS if n not in {"box_xywh", "right", "time_s"}]


def write_webdataset(
    samples: HandSamples, folder: Path, pictures: Pictures, shard: int = SHARD
) -> None:
    """Write shards of `shard` hands."""
    for split in splits_of(samples):
        numbers = np.flatnonzero(samples.split == split_of(split)).tolist()
        members = _members(samples, numbers, pictures)
        for start in range(0, len(numbers), shard):
            path = folder / f"{safe_name(split)}-{start // shard:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for _ in numbers[start : start + shard]:
                    for name, data in next(members):
                        entry = tarfile.TarInfo(name)
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))


def _members(
    samples: HandSamples, numbers: list[int], pictures: Pictures
) -> Iterator[list[tuple[str, bytes]]]:
    image, decoded = "", np.zeros((0, 0, 3), np.uint8)
    low, high = _crops(samples)
    for row, n in enumerate(numbers):
        if samples.image[n] != image:
            image = str(samples.image[n])
            decoded = pictures.read(image)
        if decoded.shape[1::-1] != tuple(samples.size_wh[n].tolist()):
            raise InputError(
                f"{pictures.path(image)}: is {decoded.shape[1]} x {decoded.shape[0]}, its labels "
                "are for {} x {}".format(*samples.size_wh[n]),
                "give the pictures that were labelled",
            )
        (x, y), (right, bottom) = low[n].tolist(), high[n].tolist()
        key = f"{row:08d}"
        crop = encode(np.ascontiguousarray(decoded[y:bottom, x:right]), Path("crop.jpg"))
        text = json.dumps(_entry(samples, n, low[n], high[n] - low[n]))
        yield [(f"{key}.jpg", crop), (f"{key}.json", text.encode())]


def _crops(samples: HandSamples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel and the one behind the last, shapes (N, 2)."""
    box, xy = samples.box_xywh, samples.xy_px
    seen = np.isfinite(xy)
    low = np.minimum(box[:, :2], np.where(seen, xy, np.inf).min(1))
    high = np.maximum(box[:, :2] + box[:, 2:], np.where(seen, xy, -np.inf).max(1))
    half = AROUND * (high - low).max(-1, keepdims=True) / 2
    centre = (low + high) / 2
    first = np.maximum(np.floor(centre - half + 0.5), 0)
    last = np.minimum(np.ceil(centre + half + 0.5), samples.size_wh)
    return first.astype(np.int64), last.astype(np.int64)


def _entry(
    samples: HandSamples, n: int, offset: NDArray[np.int64], size: NDArray[np.int64]
) -> dict[str, Any]:
    entry: dict[str, Any] = {name: getattr(samples, name)[n].tolist() for name in LISTS}
    entry["xy_px"] = (samples.xy_px[n] - offset).tolist()
    box = samples.box_xywh[n] - [*offset, 0, 0]
    right, time = float(samples.right[n]), float(samples.time_s[n])
    entry |= {name: str(getattr(samples, name)[n]) for name in TEXTS}
    entry |= {
        "visibility": samples.visibility[n].tolist(),
        "box_xywh": box.tolist(),
        "right": right,
        "time_s": time,
        "frame_id": int(samples.frame_id[n]),
        "round": int(samples.round[n]),
        "offset_px": offset.tolist(),
        "picture_wh": samples.size_wh[n].tolist(),
        "size_wh": size.tolist(),
        "inlier": samples.inlier[n].tolist(),
        "views": list(samples.views.get(str(samples.rig_digest[n]), ())),
        "unit": samples.unit,
        "skeleton": samples.skeleton.name
        if samples.skeleton == HAND_21
        else skeleton_to_dict(samples.skeleton),
        "lens": _lens(samples, n, offset, size),
    }
    return {name: _nulls(value) for name, value in entry.items()}


def _lens(
    samples: HandSamples, n: int, offset: NDArray[np.int64], size: NDArray[np.int64]
) -> dict[str, Any] | None:
    if samples.lens[n] < 0:
        return None
    data = camera_to_dict(samples.cameras[samples.lens[n]])
    data["size_wh"] = size.tolist()
    for axis in range(2):
        data["K"][axis][2] -= int(offset[axis])
    return data


def _nulls(value: Any) -> Any:
    """Write NaN as null: JSON has none."""
    if isinstance(value, list):
        return [_nulls(v) for v in value]
    return None if isinstance(value, float) and value != value else value


def read_webdataset(folder: Path) -> Loaded:
    """Read every shard of a folder, or one.

    Raises
    ------
    InputError
        If a shard is damaged, or a JSON has another layout; with shard and member.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.tar"))
    rows: Rows | None = None
    lenses: dict[str, int] = {}
    for path in paths:
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.name.endswith(".json"):
                        file = tar.extractfile(member)
                        data = json.loads(file.read()) if file else {}
                        with parsing(path, "WebDataset"):
                            rows = rows or _rows(path, folder, data)
                            _add(rows, path, member.name, data, lenses)
        except (OSError, tarfile.TarError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error!s:.120})", "write it again") from None
    if rows is None:
        raise InputError(f"{folder}: holds no .tar with .json members", "give the shards' folder")
    return rows.loaded()


def _rows(path: Path, folder: Path, data: dict[str, Any]) -> Rows:
    known = data["skeleton"] == HAND_21.name
    skeleton = HAND_21 if known else skeleton_from_dict(data["skeleton"])
    return Rows(path if folder.is_file() else folder, skeleton)


def _add(rows: Rows, path: Path, name: str, data: dict[str, Any], lenses: dict[str, int]) -> None:
    where = f"{path}: {name}"
    k = len(rows.skeleton.keypoints)
    arrays = {n: np.array(data[n], np.float64) for n in (*LISTS, "box_xywh", "right", "time_s")}
    if arrays["xy_px"].shape != (k, 2):
        raise InputError(
            f"{where}: keypoints of shape {arrays['xy_px'].shape}, expected ({k}, 2)", "correct it"
        )
    lens = -1
    if data["lens"] is not None:
        key = json.dumps(data["lens"])
        if key not in lenses:
            lenses[key] = len(rows.cameras)
            rows.cameras.append(camera_from_dict(data["lens"]))
        lens = lenses[key]
    if data["views"]:
        rows.views[data["rig_digest"]] = tuple(data["views"])
    texts = {n: data[n] for n in TEXTS if n not in {"image", "split"}}
    seen = flags_of(np.array(data["visibility"]), (0, 1, 2), where)
    rows.add(
        where,
        f"{path.name}/{name.removesuffix('.json')}.jpg",
        data["size_wh"],
        arrays.pop("xy_px"),
        visibility=seen,
        frame_id=data["frame_id"],
        round=data["round"],
        inlier=data["inlier"],
        lens=lens,
        split=split_of(path.stem.rpartition("-")[0]),
        **arrays,
        **texts,
    )
