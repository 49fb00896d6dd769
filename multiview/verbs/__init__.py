"""The verbs of the command line: what each takes, as a strict configuration that can run."""

from multiview.config import Config
from multiview.verbs.bootstrap import Bootstrap
from multiview.verbs.calib import CalibBoard, CalibCheck, CalibFrame, CalibScene
from multiview.verbs.chain import Calibrate, Demo, Evaluate, Init, Label, Smooth, Triangulate
from multiview.verbs.dataset import DatasetCheck, DatasetConvert, DatasetInfo, DatasetSplit
from multiview.verbs.detect import Detect
from multiview.verbs.export import Export
from multiview.verbs.models import Convert, Models, ModelsBias
from multiview.verbs.plan import Plan
from multiview.verbs.review import Review
from multiview.verbs.train import Train
from multiview.verbs.view import Render, View

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
    "review": Review,
    "dataset convert": DatasetConvert,
    "dataset split": DatasetSplit,
    "dataset check": DatasetCheck,
    "dataset info": DatasetInfo,
    "train": Train,
    "bootstrap": Bootstrap,
    "evaluate": Evaluate,
    "plan": Plan,
    "view": View,
    "render": Render,
    "convert": Convert,
    "export": Export,
    "models": Models,
    "models bias": ModelsBias,
    "demo": Demo,
}
