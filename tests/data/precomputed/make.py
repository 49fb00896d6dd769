"""Write the files of this folder, as the programs write them. See README.md for versions."""

import gzip
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import sleap_io as sio
import tables

HERE = Path(__file__).parent
FINGERS = ("thumb", "index_finger", "middle_finger", "ring_finger", "pinky")
JOINTS = [("cmc", "mcp", "ip", "tip")] + [("mcp", "pip", "dip", "tip")] * 4
HAND = ["wrist"] + [f"{f}_{j}" for f, js in zip(FINGERS, JOINTS, strict=True) for j in js]
# not in the order of a hand, and `own` is no hand
SHUFFLED = [HAND[k] for k in np.random.default_rng(3).permutation(21)]
OWN = ["nose", "left_ear", "tail"]
SCORER = "DLC_resnet50_takeNov1shuffle1_1000"


def values(seed, *shape):
    """Coordinates 20 to 100, likelihood 0 to 1 along the last axis."""
    xyc = np.random.default_rng(seed).uniform(0, 1, (*shape, 3))
    return np.round(np.concatenate([20 + 80 * xyc[..., :2], xyc[..., 2:]], -1), 3)


def dlc(name, frame, layout, squeeze=False):
    """As deeplabcut.analyze_videos: to_hdf(key="df_with_missing", format="table"), to_csv."""
    frame.to_csv(HERE / f"{name}.csv")
    h5 = HERE / f"{name}.h5"
    frame.to_hdf(h5, key="df_with_missing", format=layout, mode="w")
    if squeeze:  # PyTables' empty index blocks are 80 kB
        (HERE / f"{name}.h5.gz").write_bytes(gzip.compress(h5.read_bytes(), mtime=0))
        h5.unlink()


def single(parts, seed, frames=4):
    columns = pd.MultiIndex.from_product(
        [[SCORER], parts, ["x", "y", "likelihood"]], names=["scorer", "bodyparts", "coords"]
    )
    return pd.DataFrame(values(seed, frames, len(parts)).reshape(frames, -1), columns=columns)


def several(people, parts, seed, frames=4):
    columns = pd.MultiIndex.from_product(
        [[SCORER], people, parts, ["x", "y", "likelihood"]],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    data = values(seed, frames, len(people), len(parts))
    data[1, 0] = np.nan  # the first is not seen in frame 1
    return pd.DataFrame(data.reshape(frames, -1), columns=columns)


def labelled(parts, seed):
    columns = pd.MultiIndex.from_product(
        [["me"], parts, ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    index = pd.MultiIndex.from_tuples(
        [("labeled-data", "cam00", f"img{n:04d}.png") for n in (3, 17)]
    )
    data = values(seed, 2, len(parts))[..., :2]
    data[1, 0] = np.nan
    return pd.DataFrame(data.reshape(2, -1), columns=columns, index=index)


def sleap(name, parts, edges, tracks, seed, frames=(0, 1, 3), analysis=False):
    skeleton = sio.Skeleton(nodes=parts, edges=edges, name="own")
    video = sio.Video(filename="videos/cam00.mp4", open_backend=False)
    named = [sio.Track(t) for t in tracks]
    found = []
    for n, f in enumerate(frames):
        instances = []
        for t, track in enumerate(named or [None]):
            xyc = values(seed + 10 * n + t, len(parts))
            xyc[(n + t) % len(parts), :2] = np.nan
            instances.append(
                sio.PredictedInstance.from_numpy(
                    xyc[:, :2], skeleton=skeleton, point_scores=xyc[:, 2], score=0.9, track=track
                )
            )
        if n == 2:  # corrected by a person: replaces the prediction
            xy = values(seed + 99, len(parts))[:, :2]
            instances.append(
                sio.Instance.from_numpy(
                    xy, skeleton=skeleton, track=instances[0].track, from_predicted=instances[0]
                )
            )
        found.append(sio.LabeledFrame(video=video, frame_idx=f, instances=instances))
    labels = sio.Labels(found, videos=[video], skeletons=[skeleton], tracks=named)
    if analysis:
        sio.save_analysis_h5(labels, str(HERE / f"{name}.analysis.h5"))
    else:
        sio.save_slp(labels, str(HERE / f"{name}.slp"), embed=False)


dlc(f"cam00{SCORER}", single(SHUFFLED, 0), "table", squeeze=True)
dlc("mice", several(["m1", "m2"], OWN, 1), "fixed")
labelled(HAND, 2).to_csv(HERE / "CollectedData_me.csv")
BONES = [(HAND[0], HAND[5]), (HAND[5], HAND[6])]
sleap("cam00", SHUFFLED, BONES, [], 5)
sleap("own", OWN, [("nose", "left_ear"), ("nose", "tail")], ["a", "b"], 6)
sleap("own", OWN, [("nose", "left_ear"), ("nose", "tail")], ["a", "b"], 6, analysis=True)
VERSIONS = (f"{m.__name__} {m.__version__}" for m in (np, pd, tables, h5py, sio))
print("python", sys.version.split()[0], *VERSIONS)
