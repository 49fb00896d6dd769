"""glTF 2.0, binary (``.glb``): a node a keypoint and a bone, animated, metres, y up.

Keypoints are small octahedra, bones thin ones from parent to child, in the skeleton's colours. A
node without a point in a frame is scaled to nothing there (glTF has no visibility over time), in
steps, so that viewers do not draw what was not measured.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64, BoolArray
from multiview.formats.atomic import replacing
from multiview.formats.exports.motion import Motion

__all__ = ["held_points", "typical_bone", "write_gltf"]

# Radii as shares of the longest bone in sight, so that any skeleton looks right.
POINT_RADIUS, BONE_RADIUS = 0.08, 0.04
NO_BONES = 0.1
CORNERS = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
)
FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]],
    np.uint16,
)
FLOAT, USHORT, ARRAY, ELEMENTS = 5126, 5123, 34962, 34963
MAGIC, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


class _Buffer:
    """The binary part as it grows, and the accessors that point into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: Any, *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array, aligned to four bytes; return its accessor."""
        index = values.dtype == np.uint16
        array = values.astype("<u2" if index else "<f4")
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view | ({} if target is None else {"target": target}))
        self.data += array.tobytes() + b"\0" * (-array.nbytes % 4)
        width = 1 if index or array.ndim == 1 else array.shape[-1]
        flat = array.reshape(-1, width)
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": USHORT if index else FLOAT,
            "count": len(flat),
            "type": KINDS[width],
        }
        if bounds:
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_gltf(motion: Motion, path: Path) -> Path:
    """Write the animation; the motion is in metres and y up, as glTF demands."""
    buffer = _Buffer()
    position = buffer.add(CORNERS, target=ARRAY, bounds=True)
    faces = buffer.add(FACES, target=ELEMENTS)
    times = buffer.add((np.arange(len(motion.xyz)) / motion.rate_hz)[:, None], bounds=True)
    colors = [tuple(c) for c in motion.skeleton.colors]
    materials = list(dict.fromkeys(colors))
    meshes = [
        {
            "primitives": [
                {"attributes": {"POSITION": position}, "indices": faces, "material": n, "mode": 4}
            ]
        }
        for n in range(len(materials))
    ]
    nodes: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for name, color, tracks in _parts(motion):
        mesh = materials.index(tuple(motion.skeleton.colors[color]))
        nodes.append({"name": name, "mesh": mesh})
        for target, (values, mode) in tracks.items():
            samplers.append({"input": times, "output": buffer.add(values), "interpolation": mode})
            at = {"node": len(nodes) - 1, "path": target}
            channels.append({"sampler": len(samplers) - 1, "target": at})
    root = {"name": "take", "children": list(range(len(nodes)))}
    document = {
        "asset": {"version": "2.0", "generator": "multiview"},
        "scene": 0,
        "scenes": [{"nodes": [len(nodes)]}],
        "nodes": [*nodes, root],
        "meshes": meshes,
        "materials": [_material(color) for color in materials],
        "animations": [{"name": "take", "samplers": samplers, "channels": channels}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return _write(document, bytes(buffer.data), path)


def _material(color: tuple[int, ...]) -> dict[str, Any]:
    # colours of screens are gamma-coded, those of glTF are linear
    linear = [round((c / 255) ** 2.2, 4) for c in color]
    return {
        "pbrMetallicRoughness": {"baseColorFactor": [*linear, 1], "metallicFactor": 0},
        "doubleSided": True,
    }


Track = tuple[F64, str]


def _parts(motion: Motion) -> list[tuple[str, int, dict[str, Track]]]:
    """Name, keypoint that gives the colour, and tracks of every node."""
    k = len(motion.skeleton.keypoints)
    xyz, valid = held_points(motion.xyz), motion.valid
    blocks = [h * k for h in range(len(motion.hands))]
    bones = [(b + i, b + j) for b in blocks for i, j in motion.skeleton.edges]
    size = typical_bone(motion)
    parts: list[tuple[str, int, dict[str, Track]]] = []
    for n, name in enumerate(motion.labels):
        scale = np.full((len(xyz), 3), size * POINT_RADIUS)
        tracks = {"translation": (xyz[:, n], "LINEAR"), "scale": _shown(scale, valid[:, n])}
        parts.append((name, n % k, tracks))
    for i, j in bones:
        name = f"{motion.labels[i]}-{motion.skeleton.keypoints[j % k]}"
        parts.append((name, j % k, _bone(xyz[:, i], xyz[:, j], valid[:, i] & valid[:, j], size)))
    return parts


def _shown(scale: F64, valid: BoolArray) -> Track:
    return np.where(valid[:, None], scale, 0.0), "STEP"


def _bone(a: F64, b: F64, valid: BoolArray, size: float) -> dict[str, Track]:
    """Tracks of an octahedron whose y axis goes from a to b."""
    along = b - a
    length = np.linalg.norm(along, axis=-1)
    unit = along / np.where(length > 0, length, 1.0)[:, None]
    # the turn of y to the bone: (axis, 1 + cos), normalised; straight down: half a turn about x
    q = np.stack([unit[:, 2], 0 * length, -unit[:, 0], 1 + unit[:, 1]], -1)
    q = np.where((unit[:, 1] < -1 + 1e-9)[:, None], [1.0, 0.0, 0.0, 0.0], q)
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    scale = np.stack([0 * length + size * BONE_RADIUS, length / 2, 0 * length], -1)
    scale[:, 2] = scale[:, 0]
    return {
        "translation": ((a + b) / 2, "LINEAR"),
        "rotation": (q, "LINEAR"),
        # its length follows the points; it is hidden in steps by a width of 0
        "scale": _shown(scale, valid),
    }


def typical_bone(motion: Motion) -> float:
    """Longest of the bones' median lengths; where there is none, a share of the take's extent."""
    k = len(motion.skeleton.keypoints)
    lengths = []
    for h in range(len(motion.hands)):
        xyz = motion.xyz[:, h * k : (h + 1) * k]
        for i, j in motion.skeleton.edges:
            length = np.linalg.norm(xyz[:, j] - xyz[:, i], axis=-1)
            lengths += [float(np.nanmedian(length))] if np.isfinite(length).any() else []
    if lengths:
        return max(lengths)
    seen = motion.xyz[motion.valid]
    return float(np.ptp(seen, axis=0).max()) * NO_BONES if len(seen) else 1.0


def held_points(xyz: F64) -> F64:
    """Points with their gaps filled by the last one before (else the first after): unseen there."""
    valid = np.isfinite(xyz).all(-1)
    frame = np.where(valid, np.arange(len(xyz))[:, None], -1)
    last = np.maximum.accumulate(frame, axis=0)
    first = np.where(valid.any(0), valid.argmax(0), 0)
    at = np.where(last >= 0, last, first)
    return np.nan_to_num(np.take_along_axis(xyz, at[..., None], axis=0))


def _write(document: dict[str, Any], data: bytes, path: Path) -> Path:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with replacing(path) as temporary, temporary.open("wb") as out:
        out.write(struct.pack("<III", MAGIC, 2, 12 + 8 + len(text) + 8 + len(data)))
        out.write(struct.pack("<II", len(text), JSON_CHUNK) + text)
        out.write(struct.pack("<II", len(data), BIN_CHUNK) + data)
    return path
