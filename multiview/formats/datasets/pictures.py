"""Pictures of a dataset: linked, copied, or written anew where a format has no lens distortion."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.core import Camera, HandSamples
from multiview.errors import InputError
from multiview.formats.datasets.rows import safe_name
from multiview.images import header_size, read_image

__all__ = [
    "JPEG_QUALITY",
    "Pictures",
    "encode",
    "is_straight",
    "picture_names",
    "size_of",
    "straightened",
]

U8 = NDArray[np.uint8]
JPEG_QUALITY = 95
# Frame headers of JPEGs stand behind their metadata, of which a thumbnail is the largest.
HEADER_BYTES = 1 << 18
JPEG = frozenset({".jpg", ".jpeg"})


@dataclass(slots=True)
class Pictures:
    """Where the pictures that samples name are found.

    Parameters
    ----------
    roots
        Folders by the first part of the path; one folder under ``""``. A part that ends in
        ``.tar`` is looked into.
    """

    roots: Mapping[str, Path]
    tars: dict[Path, tarfile.TarFile] = field(default_factory=dict)
    placed: dict[tuple[str, str, bool], Path] = field(default_factory=dict)
    owners: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def below(cls, root: Path) -> Pictures:
        """Pictures of one folder."""
        return cls({"": root})

    def path(self, image: str) -> Path:
        """Path of the file, or of the tar's member."""
        if "" in self.roots:
            return self.roots[""] / image
        head, _, rest = image.partition("/")
        return self.roots[head] / rest

    def read_bytes(self, image: str) -> bytes:
        """Read the file.

        Raises
        ------
        InputError
            If there is none.
        """
        path = self.path(image)
        shard = next((p for p in path.parents if p.suffix == ".tar"), None)
        try:
            if shard is None:
                return path.read_bytes()
            if shard not in self.tars:
                self.tars[shard] = tarfile.open(shard)  # noqa: SIM115 (kept for the next member)
            member = self.tars[shard].extractfile(path.relative_to(shard).as_posix())
            assert member is not None
            return member.read()
        except (OSError, KeyError, tarfile.TarError, AssertionError):
            raise InputError(
                f"{path}: this picture of the dataset is missing",
                "give the folder that holds the pictures: --pictures FOLDER, or write them again "
                "with multiview label",
            ) from None

    def read(self, image: str) -> U8:
        """Decode to BGR, shape (H, W, 3)."""
        path = self.path(image)
        if path.is_file():
            return read_image(path)
        decoded = cv2.imdecode(np.frombuffer(self.read_bytes(image), np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise InputError(f"{path}: no picture, or damaged", "write the dataset again")
        return np.asarray(decoded, np.uint8)

    def digest(self, image: str) -> str:
        """Content hash (sha256)."""
        return hashlib.sha256(self.read_bytes(image)).hexdigest()

    def place(self, image: str, target: Path, camera: Camera | None = None) -> None:
        """Put a picture somewhere else, once: hard link, else copy, else encode anew.

        Parameters
        ----------
        image
            As the samples name it.
        target
            Where to; there already: nothing is done. A JPEG is made of other pictures.
        camera
            Whose distortion to remove; None leaves the picture as it is.

        Raises
        ------
        InputError
            If the picture is missing, or another one was put there.
        """
        if self.owners.setdefault(target, image) != image:
            raise InputError(
                f"{image} and {self.owners[target]} are both the picture of one camera and frame "
                f"({target.name})",
                "crops go to parquet, coco, yolo, wholebody, hand_labels, panopticdb or freihand",
            )
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source, straighten = self.path(image), camera is not None and not is_straight(camera)
        first = self.placed.setdefault((image, _kind(target), straighten), target)
        if first != target:  # the other hand of this picture
            _link_or_copy(first, target)
        elif camera is not None and straighten:
            target.write_bytes(encode(straightened(self.read(image), camera), target))
        elif _kind(target) != _kind(source):
            target.write_bytes(encode(self.read(image), target))
        elif source.is_file():
            _link_or_copy(source, target)
        else:
            target.write_bytes(self.read_bytes(image))


def _kind(path: Path) -> str:
    return ".jpg" if path.suffix.lower() in JPEG else path.suffix.lower()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def encode(image: U8, path: Path) -> bytes:
    """Encode by the suffix of a path."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in JPEG else []
    ok, data = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise InputError(f"{path}: the picture could not be encoded", "report this as a bug")
    return bytes(data.tobytes())


def is_straight(camera: Camera) -> bool:
    """Whether the lens has no distortion."""
    return camera.intrinsics.model == "brown" and not camera.intrinsics.dist.any()


def straightened(image: U8, camera: Camera) -> U8:
    """Remove a lens's distortion, keeping its camera matrix."""
    lens = camera.intrinsics
    if lens.model == "fisheye":
        return np.asarray(cv2.fisheye.undistortImage(image, lens.K, lens.dist, Knew=lens.K))
    return np.asarray(cv2.undistort(image, lens.K, lens.dist), np.uint8)


def picture_names(samples: HandSamples, suffix: str = "") -> list[str]:
    """Name a picture for each sample below a new folder, ``session/camera/000012.jpg``.

    Hands of one picture share its name; without session and camera the old path is kept. Several
    pictures of a camera and frame (crops) are numbered.

    Parameters
    ----------
    samples
        N hands.
    suffix
        Of all; empty keeps each picture's own.
    """
    columns = (samples.image, samples.session, samples.camera, samples.frame_id)
    found: dict[str, str] = {}
    taken: Counter[str] = Counter()
    names = []
    for image, session, camera, frame in zip(*(c.tolist() for c in columns), strict=True):
        if image not in found:
            old = PurePosixPath(image)
            known = [safe_name(part) for part in (session, camera) if part]
            # a crop out of a shard is no member of one any more
            kept = [safe_name(part.removesuffix(".tar")) for part in old.with_suffix("").parts]
            stem = "/".join([*known, f"{frame:06d}"] if known else kept)
            taken[stem] += 1
            stem += f"-{taken[stem]}" if taken[stem] > 1 else ""
            found[image] = stem + (suffix or old.suffix.lower())
        names.append(found[image])
    return names


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height of a picture file, from its header.

    Raises
    ------
    InputError
        If it is missing or no picture.
    """
    try:
        with picture.open("rb") as stream:
            size = header_size(stream.read(HEADER_BYTES))
    except OSError:
        raise InputError(f"{picture}: this picture is missing", "copy it there") from None
    if size is None:
        raise InputError(f"{picture}: its header states no size", "save it as JPEG or PNG")
    return size
