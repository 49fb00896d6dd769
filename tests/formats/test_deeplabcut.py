"""DeepLabCut tables; genuine ones of pandas are in tests/data/precomputed."""

from __future__ import annotations

import csv
import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keypoint_files import (
    DATA,
    DLC,
    needs_h5py,
)

from multiview.core import HAND_21
from multiview.errors import InputError
from multiview.formats.guess import guess_format
from multiview.precomputed import read_precomputed


def dlc_truth(name: str) -> tuple[list[str], list[str], np.ndarray]:
    """Individuals, bodyparts and values (F, I, K, 3) of a csv, read by position."""
    with (DATA / f"{name}.csv").open() as stream:
        lines = list(csv.reader(stream))
    head = {line[0]: line[1:] for line in lines[:4]}
    people = list(dict.fromkeys(head.get("individuals", ["one"])))
    body = np.array(
        [[float(c or "nan") for c in line[1:]] for line in lines[(len(people) > 1 and 4) or 3 :]]
    )
    parts = list(dict.fromkeys(head["bodyparts"]))
    return people, parts, body.reshape(len(body), len(people), len(parts), 3)


def unpacked(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.h5"
    path.write_bytes(gzip.decompress((DATA / f"{name}.h5.gz").read_bytes()))
    return path


@pytest.mark.parametrize("kind", ["csv", pytest.param("h5", marks=needs_h5py)])
def test_deeplabcut_is_ordered_by_names(kind: str, tmp_path: Path) -> None:
    path = DATA / f"{DLC}.csv" if kind == "csv" else unpacked(DLC, tmp_path)
    assert guess_format(path) == "deeplabcut"
    dets = read_precomputed(path)
    _, parts, truth = dlc_truth(DLC)
    assert (dets.camera_names, dets.skeleton) == (("cam00",), HAND_21)
    assert dets.frame_ids.tolist() == [0, 1, 2, 3]
    for ours, theirs in {
        "wrist": "wrist",
        "thumb1": "thumb_cmc",
        "thumb3": "thumb_ip",
        "index2": "index_finger_pip",
        "little4": "pinky_tip",
    }.items():
        k, at = HAND_21.keypoints.index(ours), parts.index(theirs)
        np.testing.assert_allclose(dets.xy_px[0, :, 0, k], truth[:, 0, at, :2])
        np.testing.assert_allclose(dets.conf[0, :, 0, k], truth[:, 0, at, 2])
    own = read_precomputed(path, keypoints="own")
    assert list(own.skeleton.keypoints) == parts
    np.testing.assert_allclose(own.xy_px[0, :, 0], truth[:, 0, :, :2])


@pytest.mark.parametrize("kind", ["csv", pytest.param("h5", marks=needs_h5py)])
def test_deeplabcut_individuals_are_the_same_in_every_camera(kind: str) -> None:
    dets = read_precomputed(DATA / f"mice.{kind}")
    people, parts, truth = dlc_truth("mice")
    assert dets.hands == tuple(people) == ("m1", "m2")
    assert list(dets.skeleton.keypoints) == parts == ["nose", "left_ear", "tail"]
    assert dets.skeleton.groups == {"nose": (0,), "left_ear": (1,), "tail": (2,)}
    np.testing.assert_allclose(dets.xy_px[0], truth[..., :2])
    np.testing.assert_allclose(dets.conf[0], np.nan_to_num(truth[..., 2]))
    assert np.isnan(dets.xy_px[0, 1, 0]).all()


def test_deeplabcut_labelled_pictures_have_no_likelihood() -> None:
    dets = read_precomputed(DATA / "CollectedData_me.csv")
    assert dets.frame_ids.tolist() == [3, 17]
    assert dets.conf[0, 0, 0].tolist() == [1] * 21
    assert np.isnan(dets.xy_px[0, 1, 0, 0]).all()
    assert dets.conf[0, 1, 0, 0] == 0


def test_deeplabcut_csv_is_taken_where_both_lie(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / f"{name}{DLC[5:]}.csv").write_bytes((DATA / f"{DLC}.csv").read_bytes())
        (tmp_path / f"{name}{DLC[5:]}.h5").write_bytes(b"never opened")
    dets = read_precomputed(tmp_path, format="deeplabcut")
    assert dets.camera_names == ("left", "right")


class Trap:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_is_listed_never_run(tmp_path: Path) -> None:
    from multiview.formats.deeplabcut import texts_of_pickle

    names = [("me", "nose", c) for c in ("x", "y", "likelihood")] * 3
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert texts_of_pickle(Path("a.h5"), pickle.dumps(names, protocol)) == names
        for bad in ([*names, Trap(tmp_path / "ran")], [("me", 1, "x")], {"a": 1}, [names]):
            with pytest.raises(InputError, match=r"a\.h5.*without running[\s\S]*csv"):
                texts_of_pickle(Path("a.h5"), pickle.dumps(bad, protocol))
    for damaged in (b"", b".", b"garbage", pickle.dumps(names)[:-5], b"g1\n.", b"]]a]a.", b"t."):
        with pytest.raises(InputError, match="without running"):
            texts_of_pickle(Path("a.h5"), damaged)
    assert not (tmp_path / "ran").exists()


@needs_h5py
def test_an_h5_whose_names_would_run_code_is_refused(tmp_path: Path) -> None:
    import h5py

    path = unpacked(DLC, tmp_path)
    with h5py.File(path, "a") as file:
        attributes = file["df_with_missing/table"].attrs
        attributes["values_block_0_kind"] = np.bytes_(pickle.dumps(Trap(tmp_path / "ran"), 0))
    with pytest.raises(InputError, match="save_as_csv=True"):
        read_precomputed(path)
    assert not (tmp_path / "ran").exists()


@needs_h5py
def test_a_huge_or_linked_dataset_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array([b"nose"])
        file.create_dataset("tracks", (1, 2, 1, 10**10), "f8", chunks=(1, 2, 1, 4096))
        file["track_names"] = np.array([b"a"])
    with pytest.raises(InputError, match=r"tracks unpacks to \d+ MB"):
        read_precomputed(path)
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array([b"nose"])
        file["track_names"] = np.array([b"a"])
        file["tracks"] = h5py.ExternalLink("other.h5", "/secret")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.full((1, 2, 1, 3), 50.0)
    with pytest.raises(InputError, match="not as SLEAP writes it"):
        read_precomputed(path)
