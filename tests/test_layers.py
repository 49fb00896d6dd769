"""Who may import whom: the import column of the design's folder table, by syntax tree.

`ALLOWED` and `OUTSIDE` are the rule; what a package imports from itself is always allowed. A row
that needs another entry is a change of the design: make it here, with a reason, and in the table.
"""

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import multiview

ROOT = Path(multiview.__file__).parent
BASE = {"_shapes", "errors"}
CAPTURE = {"capture", "_files", "_image_folder", "_layout", "_sync", "_video"}

# room -> what it may import of this package ...
ALLOWED = {
    "errors": set(),
    "_shapes": {"errors"},
    "core": BASE | {"geometry"},  # Rig.project and Rig.undistort
    "geometry": BASE | {"core"},
    "config": {"errors"},
    "progress": set(),
    "images": BASE,
    "capture": BASE | {"config", "images"},  # capture.yaml
    "page": BASE,  # style and SVG of the reports
    # board YAML; which hand is which, where hands instead of a board calibrate; report.html
    "calib": BASE | {"core", "geometry", "config", "association", "page"},
    "models": BASE | {"core", "config", "progress"},  # model cards; a warning
    "association": BASE | {"core", "geometry"},
    "triangulation": BASE | {"core", "geometry", "association", "config"},
    "bias": BASE | {"core", "geometry"},
    # the second pass, of which a first one knows nothing, comes of it
    "detection": BASE | {"core", "capture", "models", "progress", "guided", "triangulation"},
    "train": BASE | {"core", "models", "config"},  # what it trains is run by models' cards
    "smoothing": BASE | {"core", "geometry", "association", "config"},
    "prediction": BASE | {"core", "geometry", "association"},
    # reads the crops that 3D asks for: between the take's pictures and the triangulation
    "guided": BASE
    | {"core", "association", "capture", "config", "models", "prediction", "progress"},
    # a detector is scored by running it
    "evaluation": BASE | {"core", "geometry", "association", "triangulation", "page", "models"},
    "bootstrap": BASE | {"core", "geometry", "models", "config"},
    # rig YAML; folders in natural order; datasets hold pictures
    "formats": BASE | {"core", "config", "_files", "images"},
    # models may not read files, formats know no captures: detections of others in step with a take
    "precomputed": BASE | {"core", "capture", "_image_folder", "formats"},
    # the sheet and the overlay say which hand is which, and draw on the take's own pictures
    # and draw what is planned
    "viz": BASE
    | {"core", "geometry", "association", "bootstrap", "capture", "formats", "progress", "models"},
    "review": BASE | {"core", "viz"},  # montages
    "synth": BASE | {"core", "geometry", "calib"},
    "stage": BASE | {"formats"},
}
# ... and of others; rooms that are not named here may use what the project depends on.
SCIENCE = {"numpy", "scipy"}
OUTSIDE = {
    "errors": set(),
    "_shapes": {"numpy"},
    "core": {"numpy"},
    "geometry": SCIENCE | {"numba"},  # compiled loops, imported on first use
    "association": SCIENCE | {"pydantic"},
    "triangulation": SCIENCE | {"pydantic"},
    "smoothing": SCIENCE | {"pydantic", "threadpoolctl"},
    "prediction": SCIENCE,
    "bias": SCIENCE,
    "guided": SCIENCE | {"pydantic"},
    "evaluation": SCIENCE,
    "bootstrap": SCIENCE | {"pydantic"},
    "page": {"numpy"},
    "review": {"numpy"},
    "calib": SCIENCE | {"pydantic", "cv2", "threadpoolctl"},
    "models": SCIENCE
    | {"cv2", "pydantic", "yaml", "onnx", "google", "tflite", "flatbuffers"}
    | {"onnxruntime"},
    "train": SCIENCE | {"cv2", "pydantic", "onnx", "onnxruntime", "torch"},
    "images": {"numpy", "cv2"},
    "capture": SCIENCE | {"pydantic", "cv2", "av"},
    "synth": SCIENCE | {"cv2"},
    "config": {"pydantic", "yaml"},
    "progress": {"rich"},
    "precomputed": {"numpy"},
}
# One file of a room for the whole room where others may only use that part.
ONLY = {
    ("bootstrap", "models"): {"multiview.models.base"},
    ("evaluation", "models"): {"multiview.models.base"},
    ("guided", "models"): {"multiview.models.base"},
    ("synth", "calib"): {"multiview.calib.board"},  # where the corners of a rendered board lie
    ("viz", "models"): {"multiview.models.base"},
    ("viz", "bootstrap"): {"multiview.bootstrap.plan_volume"},
    ("viz", "formats"): {"multiview.formats.atomic"},  # videos are written in one step
    ("stage", "formats"): {"multiview.formats.atomic"},
}
# The top: may import every room; but nothing imports the command line.
TOP = {"stages", "verbs", "cli", "__main__", "__init__"}
DEPENDENCIES = (
    *SCIENCE,
    "av",
    "cv2",
    "numba",
    "pyarrow",
    "pydantic",
    "yaml",
    "rich",
    "threadpoolctl",
    "tyro",
)


def room_of(module):
    """Room of a dotted module of this package: `multiview.calib.board` is in `calib`."""
    parts = module.split(".")
    return "__init__" if len(parts) == 1 else parts[1]


def imports_of(source, package):
    """Every module that the source imports, however deep in a function, as dotted names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, package)
            inner = base == "multiview"  # from multiview import _sync
            yield from ((f"{base}.{a.name}" if inner else base, node.lineno) for a in node.names)


def violations(files):
    """Describe each import that the rule forbids."""
    found = []
    for path, source in files:
        parts = path.with_suffix("").parts
        here = "capture" if parts[0] in CAPTURE else parts[0]
        package = ".".join(("multiview", *parts[:-1]))
        for name, line in imports_of(source, package):
            problem = _problem(here, name)
            if problem:
                found.append(f"multiview/{path}:{line}: {problem}")
    return found


def _problem(here, name):
    top = name.split(".")[0]
    if top != "multiview":
        outside = top not in sys.stdlib_module_names and top not in OUTSIDE.get(here, {top})
        return f"{here} may not import {top}" if outside else ""
    there = room_of(name)
    if there == "__main__" or (there == "cli" and here != "__main__"):
        return f"nothing imports {there}"
    if there == "verbs" and here not in {"verbs", "cli"}:
        return "only the command line imports verbs"
    if here in TOP or here == there or (here == "capture" and there in CAPTURE):
        return ""
    if there not in ALLOWED.get(here, set()):
        return f"{here} may not import {there} ({name})"
    only = ONLY.get((here, there))
    return f"{here} may import only {', '.join(only)}" if only and name not in only else ""


def package_files():
    return [(p.relative_to(ROOT), p.read_text()) for p in sorted(ROOT.rglob("*.py"))]


def test_every_import_is_in_the_table():
    assert violations(package_files()) == []


def test_every_file_has_a_row():
    rooms = {path.with_suffix("").parts[0] for path, _ in package_files()}
    assert rooms <= set(ALLOWED) | CAPTURE | TOP


def test_the_table_has_no_row_for_nothing():
    rooms = {p.stem for p in ROOT.iterdir()}
    assert set(ALLOWED) | CAPTURE <= rooms


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("geometry/dlt.py", "import cv2"),
        ("geometry/dlt.py", "from multiview.formats.files import load"),
        ("geometry/dlt.py", "def f():\n    from multiview.capture import Capture"),
        ("core/takes.py", "import scipy.linalg"),
        ("core/cameras.py", "from multiview.calib import board"),
        ("calib/board.py", "from multiview import cli"),
        ("stages/init.py", "from multiview.cli import main"),
        ("stages/init.py", "from ..cli import main"),
        ("stages/init.py", "from multiview.verbs.chain import Init"),
        ("formats/coco.py", "from ..bootstrap import labels"),
        ("_video.py", "from multiview.detection import detect"),
        ("bootstrap/labels.py", "from multiview.models.mediapipe import MediaPipeHands"),
        ("models/card.py", "from multiview.stages.detect import run_detect"),
        ("models/heatmap.py", "import torch"),
        ("train/loop.py", "from multiview.formats.atomic import replacing"),
    ],
)
def test_a_forbidden_import_is_found(path, source):
    assert len(violations([(Path(path), source)])) == 1


@pytest.mark.parametrize("module", ["multiview", "multiview.cli", "multiview.core"])
def test_light_modules_load_no_heavy_library(module):
    """`from multiview import Rig` too needs neither pictures nor tables."""
    code = (
        f"import sys, {module}\nfrom multiview import Detections, Rig\n"
        "print(sorted({'cv2', 'numba', 'pyarrow', 'av', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("module", ["multiview.stages.train", "multiview.verbs.train"])
def test_no_module_outside_the_trainer_loads_torch(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_declared_dependencies_are_all_that_is_imported():
    """Optional ones only inside functions: importing any module needs the plain install only."""
    optional = []
    for path in sorted(ROOT.rglob("*.py")):
        known = {"multiview", *DEPENDENCIES, *sys.stdlib_module_names}
        if path.parent.name == "train":  # its modules that compute are imported when it trains
            known.add("torch")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                plain = isinstance(node, ast.Import)
                names = [a.name for a in node.names] if plain else [node.module]
                optional += [f"{path}: {n}" for n in names if n.split(".")[0] not in known]
    assert optional == []
