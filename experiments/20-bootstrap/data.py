"""The rendered captures as labelled datasets (start and held-out) and as footage with a rig."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

import multiview as mv
from multiview.core import Camera, HandSamples, Intrinsics, Pose, Rig
from multiview.core.samples import concatenate, make_samples
from multiview.formats.datasets import save_dataset
from multiview.formats.datasets.pictures import Pictures

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
RENDERED = SHARED / "data" / "rendered"


def rig_of(name: str) -> Rig:
    """Read the true cameras of a capture."""
    cameras = json.loads((RENDERED / name / "calibration.json").read_text())["cameras"]
    return Rig(cameras=tuple(map(_camera, cameras)))


def _camera(c: dict) -> Camera:
    lens = Intrinsics(
        K=np.array(c["K"]), dist=np.array(c["dist"]), size_wh=(c["width"], c["height"])
    )
    pose = Pose(R=np.array(c["R"]), t=np.array(c["t"]))
    return Camera(name=c["name"], intrinsics=lens, cam_from_world=pose)


def truth_samples(name: str, frames: Iterable[int] | None = None) -> HandSamples:
    """Label every view of some frames of a capture by its truth, with subjects."""
    rig, folder = rig_of(name), RENDERED / name
    with np.load(folder / "truth.npz") as truth:
        xy, side, seen = truth["kp2d"], truth["side"], truth["visible"]
        subject = truth["subject"]
    chosen = range(len(xy)) if frames is None else frames
    rows = [(f, v) for f in chosen for v in range(len(rig.cameras))]
    sizes = np.array([c.intrinsics.size_wh for c in rig.cameras])
    points = np.stack([xy[f, v] for f, v in rows])
    inside = ((points > -0.5) & (points < sizes[[v for _, v in rows]][:, None] - 0.5)).all(-1)
    visible = np.stack([seen[f, v] for f, v in rows])
    return make_samples(
        xy_px=np.where(inside[..., None], points, np.nan),
        visibility=np.where(inside, np.where(visible, 2, 1), 0),
        image=[f"images/{rig.names[v]}/{f:06d}.jpg" for f, v in rows],
        size_wh=sizes[[v for _, v in rows]],
        right=[float(side[f] == 0) for f, _ in rows],
        session=[name] * len(rows),
        subject=[f"{name}-{subject[f]}" for f, _ in rows],
        camera=[rig.names[v] for _, v in rows],
        frame_id=[f for f, _ in rows],
        source=["truth"] * len(rows),
    )


def write_truth(parts: dict[str, Iterable[int] | None], out: Path) -> Path:
    """Write a dataset of some frames of some captures; one that is there is kept."""
    if (out / "dataset.json").exists():
        return out
    samples, roots = [], {}
    for name, frames in parts.items():
        found = truth_samples(name, frames)
        keep = (found.visibility > 0).sum(1) > 0
        samples.append(found.take(np.flatnonzero(keep)))
        roots[name] = RENDERED / name
    named = [
        s.take(slice(None)) if len(parts) == 1 else _prefixed(s, name)
        for name, s in zip(parts, samples, strict=True)
    ]
    pictures = Pictures(roots) if len(parts) > 1 else Pictures({"": next(iter(roots.values()))})
    save_dataset(concatenate(named), out, "parquet", pictures=pictures)
    return out


def _prefixed(samples: HandSamples, name: str) -> HandSamples:
    from dataclasses import replace

    return replace(samples, image=np.array([f"{name}/{i}" for i in samples.image.tolist()]))


def write_rig(name: str, out: Path) -> Path:
    """Write the true rig as YAML."""
    out.parent.mkdir(parents=True, exist_ok=True)
    mv.save(rig_of(name), out)
    return out


def write_takes(name: str, out: Path, rig: Path) -> list[dict[str, object]]:
    """Cut a capture of many people into a take a person, as footage of a loop.

    Tracks, votes on the side, and a subject's own bones are for one person; pictures are linked.
    """
    folder = RENDERED / name
    subject = _subjects(name)
    cameras = sorted(path for path in (folder / "images").iterdir() if path.is_dir())
    takes: list[dict[str, object]] = []
    for number in np.unique(subject).tolist():
        take = out / f"{name}-{number:02d}"
        for camera in cameras:
            (take / camera.name).mkdir(parents=True, exist_ok=True)
            for frame in np.flatnonzero(subject == number).tolist():
                link = take / camera.name / f"{frame:06d}.jpg"
                if not link.exists():
                    link.symlink_to((camera / link.name).resolve())
        takes.append(
            {"capture": take, "rig": rig, "subject": take.name, "sync": "index", "fps": 1.0}
        )
    return takes


def frame_of(take: str, frame: int) -> int:
    """Frame of the capture that is this one of a take by `write_takes`."""
    name, _, number = take.rpartition("-")
    return int(np.flatnonzero(_subjects(name) == int(number))[frame])


@cache
def _subjects(name: str) -> np.ndarray:
    """Who is seen in each frame of a capture."""
    with np.load(RENDERED / name / "truth.npz") as truth:
        return truth["subject"]


def fill_readme(folder: Path, part: str, lines: list[str]) -> None:
    """Put lines between the marks of a part in a folder's README."""
    readme = folder / "README.md"
    head, mark, rest = readme.read_text().partition(f"<!-- {part} -->\n")
    tail = rest.partition(f"<!-- end of {part} -->")[2]
    body = "\n".join(lines)
    readme.write_text(f"{head}{mark}\n{body}\n\n<!-- end of {part} -->{tail}")
