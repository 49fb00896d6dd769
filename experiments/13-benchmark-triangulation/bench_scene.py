"""The bench of the shared folder as a module, and its scenes' cameras as ours."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace

from multiview.core import Camera, Intrinsics, Pose, Rig


def load(path: str) -> ModuleType:
    """Import the bench from its file."""
    spec = importlib.util.spec_from_file_location("bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rig_of(scene: SimpleNamespace) -> Rig:
    """The scene's cameras as ours."""
    return Rig(
        cameras=tuple(
            Camera(
                name=f"c{v}",
                intrinsics=Intrinsics(
                    K=scene.K[v], dist=scene.dist[v], size_wh=tuple(map(int, scene.size))
                ),
                cam_from_world=Pose(R=scene.R[v], t=scene.tvec[v]),
            )
            for v in range(scene.V)
        )
    )
