"""The verbs of the command line: what each takes, as a strict configuration that can run."""

from multiview.config import Config
from multiview.verbs.calib import CalibBoard, CalibCheck, CalibFrame, CalibScene
from multiview.verbs.chain import Calibrate, Demo, Evaluate, Init, Label, Smooth, Triangulate
from multiview.verbs.detect import Detect
from multiview.verbs.models import Convert, Models

__all__ = ["VERBS"]

VERBS: dict[str, type[Config]] = {
    "init": Init,
    "calibrate": Calibrate,
    "calib frame": CalibFrame,
    "calib board": CalibBoard,
    "calib check": CalibCheck,
    "calib scene": CalibScene,
    "detect": Detect,
    "triangulate": Triangulate,
    "smooth": Smooth,
    "label": Label,
    "evaluate": Evaluate,
    "convert": Convert,
    "models": Models,
    "demo": Demo,
}
