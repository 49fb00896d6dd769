"""`multiview models`: what it prints, what it writes, and what it refuses with exit code 2."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from multiview import cli
from multiview.config import Config
from multiview.models.card import ModelCard, load_card

sys.path.insert(0, str(Path(__file__).parent / "models"))
from dot_net import net, write

DOCS = Path(__file__).parents[1] / "docs" / "models.md"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def works(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["models", *map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def fails(capsys, *arguments):
    capsys.readouterr()
    code = cli.main(["models", *map(str, arguments)])
    err = capsys.readouterr().err
    assert code == 2, err
    assert err.startswith("error: ")
    assert re.search(r"\n  next: \S", err), err
    assert "Traceback" not in err
    return err


def test_list(workspace, capsys):
    write(workspace / "models", net())
    (workspace / "models" / "notes.yaml").write_text("a: 1\n")
    out = works(capsys, "list")
    assert re.search(r"mediapipe-full +mediapipe +224 x 224 +there +Apache-2.0 +shipped", out)
    assert re.search(r"dots +heatmap +96 x 96 +there +CC0-1.0 +models", out)
    assert "notes" not in out
    (workspace / "models" / "dots.onnx").unlink()
    assert "no dots.onnx" in works(capsys, "list")


def test_show(workspace, capsys):
    out = works(capsys, "show", "hand")
    for text in ("mediapipe-full", "Apache-2.0", "PyPI", "confidence", "thumb1", "sha256"):
        assert text in out
    assert works(capsys, "show", write(workspace, net()), "hand").startswith("model           dots")


@pytest.mark.parametrize("name", ["hand", "mediapipe-lite"])
def test_check_shipped(workspace, capsys, name):
    out = works(capsys, "check", name)
    assert "is in order" in out
    assert re.search(r"cv2: a picture +1 hand, [0-9.]+ ms a crop", out)
    assert re.search(r"palm: runtimes +differ by \de-0[5-9]", out)


def test_check_own(workspace, capsys):
    write(workspace / "models", net())
    for name in ("dots", "models/dots.yaml", "models/dots.onnx"):
        out = works(capsys, "check", name, "--runtime", "cv2")
        assert "dots is in order" in out
        assert "ort" not in out


def test_convert_a_bare_network(workspace, capsys):
    (workspace / "bare.onnx").write_bytes(net(background=21).SerializeToString())
    out = works(capsys, "convert", "bare.onnx", "--name", "mine")
    assert "models/mine.yaml is written" in out
    text = (workspace / "models" / "mine.yaml").read_text()
    assert text.count("CHECK") >= 8
    card = load_card("mine")
    assert (card.decoding.background, card.skeleton) == (21, "hand21")
    assert card.read("net") == (workspace / "bare.onnx").read_bytes()
    assert "mine is in order" in works(capsys, "check", "mine")
    assert "is there already" in fails(capsys, "convert", "bare.onnx", "--name", "mine")
    works(capsys, "convert", "bare.onnx", "--name", "mine", "--force")


def test_convert_openpose(workspace, capsys):
    """The Caffe reader has its own tests; here: what it refuses reaches the user as a message."""
    (workspace / "pose.prototxt").write_text("<html>\n")
    (workspace / "pose.caffemodel").write_bytes(b"\0" * 100)
    assert "pose.prototxt" in fails(capsys, "convert", "pose.caffemodel", "pose.prototxt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing"], "no detector 'nothing'"),
        (["show"], "needs a model"),
        (["check"], "needs a model"),
        (["check", "nothing"], "no detector 'nothing'"),
        (["check", "nothing.yaml"], "nothing.yaml: no such file"),
        (["check", "nothing.onnx"], "nothing.onnx cannot be read"),
        (["check", "hand", "--runtime", "tpu"], "unknown runtime 'tpu'"),
        (["check", "hand", "--provider", "npu"], "no provider 'npu' on this machine"),
        (["convert"], "cannot convert nothing"),
        (["convert", "gone.onnx"], "gone.onnx: no such file"),
        (["convert", "page.onnx"], "page.onnx is a web page"),
        (["convert", "page.txt"], "cannot convert page.txt"),
        (["convert", "page.onnx", "page.txt"], "cannot convert"),
        (["convert", "folder"], "folder"),
        (["convert", "good.onnx", "--name", "mediapipe-full"], "a shipped model has the name"),
        (["convert", "good.onnx", "--name", "../up"], "cannot name a model"),
    ],
)
def test_refused(workspace, capsys, arguments, message):
    for name in ("page.onnx", "page.txt"):
        (workspace / name).write_text("<!DOCTYPE html><html></html>")
    (workspace / "good.onnx").write_bytes(net().SerializeToString())
    (workspace / "folder").mkdir()
    assert message in fails(capsys, *arguments)
    assert not list(workspace.glob("models/*"))


def damaged(workspace, **changes):
    path = write(workspace / "models", net())
    fields = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"net": {"file": "dots.onnx", "sha256": "0" * 64}}}, "sha256 differs"),
        ({"weights": {"net": {"file": "../../etc/passwd", "sha256": "0" * 64}}}, "card's folder"),
        ({"backnd": "heatmap"}, "did you mean 'backend'"),
        ({"backend": "jax"}, "no backend 'jax'"),
        ({"order": list(range(1, 22))}, "promises at least 22"),
    ],
)
def test_bad_cards(workspace, capsys, changes, message):
    damaged(workspace, **changes)
    assert message in fails(capsys, "check", "dots")


def test_two_cards_of_one_name(workspace, capsys):
    path = write(workspace / "models", net(), name="mediapipe-lite")
    path.rename(path.with_name("mediapipe-lite.yaml"))
    assert "a shipped model has the name" in fails(capsys, "list")


# --- docs/models.md ---


def test_the_code_of_the_page_runs(tmp_path):
    for code in re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(DOCS.parents[1])},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Apache-2.0 (224, 224) 21")


def fields(model, prefix=""):
    """Names of all fields of a card as the page writes them."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Config):
            yield from fields(inner, f"{name}.")
        elif name != "folder":
            yield prefix + name


def test_the_page_explains_every_field():
    text = DOCS.read_text("utf-8")
    for name in fields(ModelCard):
        assert f"`{name}`" in text or f"`{name.split('.')[-1]}`" in text, name
