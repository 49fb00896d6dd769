"""`multiview models`: list, show and check model cards, and convert networks to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multiview.capture import open_capture
from multiview.errors import InputError, MultiviewError
from multiview.formats.atomic import disk_errors, replacing, write_text
from multiview.models.base import U8
from multiview.models.card import ALIASES, DATA, ModelCard, find_cards, load_card, read_weights
from multiview.models.check import check_model
from multiview.models.confidence import find_calibration
from multiview.models.draft import draft_card, draft_text
from multiview.models.jitter import PASSES
from multiview.progress import say
from multiview.stages.demo import demo_data

__all__ = ["run_check", "run_convert_model", "run_list", "run_show"]

CONVERTIBLE = (
    "give pose_deploy.prototxt and pose_iter_102000.caffemodel, a .onnx file, or the wheel of "
    "mediapipe 0.10.21"
)
NAME = "[A-Za-z0-9][A-Za-z0-9._-]*"  # as in ModelCard
WIDTH = 16


def run_list() -> None:
    """Print a table of the shipped models and those of ``./models``."""
    rows = [("name", "backend", "input", "weights", "licence", "where")]
    for name, card in find_cards().items():
        height, width = card.input.size_hw
        missing = [w.file for w in card.weights.values() if not (card.folder / w.file).is_file()]
        state = f"no {missing[0]}" if missing else "there"
        where = "shipped" if card.folder == DATA else str(card.folder)
        rows.append((name, card.backend, f"{width} x {height}", state, _short(card.licence), where))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip())
    say("")
    say(", ".join(f"{alias} is {name}" for alias, name in ALIASES.items()))


def run_show(name: str) -> None:
    """Print a card in full.

    Raises
    ------
    MultiviewError
        If there is no such card, or it is misspelt.
    """
    for label, text in _describe(load_card(name)):
        say(f"{label:<{WIDTH}}{text}")


def run_check(name: str, *, runtime: str | None = None, provider: str = "cpu") -> None:
    """Check a model by the name or path of its card, or a bare ONNX file.

    Raises
    ------
    MultiviewError
        At the first thing that is wrong.
    """
    card = draft_card(Path(name)) if name.lower().endswith(".onnx") else load_card(name)
    picture = _picture()
    runtimes = None if runtime is None else (runtime,)
    for finding in check_model(card, picture, runtimes=runtimes, provider=provider):
        say(f"{finding.what:<{WIDTH}}  {finding.result}")
    say(f"{card.name} is in order")


def run_convert_model(
    sources: tuple[str, ...], out: Path, *, name: str | None = None, force: bool = False
) -> None:
    """Make a network and its card in a folder of models.

    Parameters
    ----------
    sources
        ``pose_deploy.prototxt`` and ``pose_iter_102000.caffemodel``; one ``.onnx`` file; or the
        wheel of mediapipe 0.10.21 (or its unpacked folder).
    out
        Folder of the results.
    name
        Of the model; by default that of the file.
    force
        Replace a card that is there.

    Raises
    ------
    MultiviewError
        If the files are others, damaged, or the card is there already.
    """
    paths = sorted((Path(s) for s in sources), key=lambda p: p.suffix != ".prototxt")
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file", CONVERTIBLE)
    suffixes = [p.suffix.lower() for p in paths]
    if suffixes == [".prototxt", ".caffemodel"]:
        _convert_openpose(paths, out, name)
    elif suffixes == [".onnx"]:
        _adopt(paths[0], out, name or paths[0].stem, force=force)
    elif len(paths) == 1 and (suffixes == [".whl"] or paths[0].is_dir()):
        _convert_mediapipe(paths[0], out)
    else:
        raise InputError(f"cannot convert {', '.join(map(str, sources)) or 'nothing'}", CONVERTIBLE)


def _convert_openpose(paths: list[Path], out: Path, name: str | None) -> None:
    from multiview.models.caffe_to_onnx import convert_openpose

    done = convert_openpose(paths[0], paths[1], out, name or "openpose-hand")
    for warning in done.warnings:
        say(f"warning: {warning}")
    state = "was there already, made from the same files" if done.cached else "is written"
    say(f"{done.card} {state}; next: multiview models check {done.card}")


def _adopt(path: Path, out: Path, name: str, *, force: bool) -> None:
    """Copy an ONNX file and draft its card."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"{name!r} cannot name a model", "use letters, digits, '.', '_' and '-'")
    card, network = out / f"{name}.yaml", out / f"{name}.onnx"
    text, data = draft_text(path, name, network.name), read_weights(path)
    if card.exists() and not force:
        raise InputError(f"{card} is there already", "give another --name, or --force")
    if (DATA / card.name).exists():
        raise InputError(f"a shipped model has the name {name!r} too", "give another --name")
    with replacing(network) as temporary:
        temporary.write_bytes(data)
    write_text(card, text)
    load_card(card)
    say(f"{card} is written; correct its lines marked CHECK, then: multiview models check {card}")


def _convert_mediapipe(source: Path, out: Path) -> None:
    try:
        from multiview.models.tflite_to_onnx import main
    except ImportError as error:
        raise InputError(f"{source}: {error}", "the shipped models need no conversion") from None
    with disk_errors(out):
        main(str(source), str(out))
    say("these are the networks of the shipped cards mediapipe-full and mediapipe-lite")


def _describe(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Label and text of everything a card says."""
    yield "model", card.name
    yield "about", card.about
    yield "backend", card.backend
    yield "licence", card.licence
    yield "source", card.source
    yield "keypoints", f"{len(card.keypoints)}: {', '.join(card.keypoints)}"
    if card.order is not None:
        yield "order", f"outputs {', '.join(map(str, card.order))}"
    for part, weights in card.weights.items():
        state = "" if card.path(part).is_file() else " (MISSING)"
        yield f"weights {part}", f"{card.path(part)}{state}"
        yield "", f"sha256 {weights.sha256}"
        if weights.source:
            yield "", f"from {weights.source}"
    for section in ("input", "crop", "decoding"):
        yield section, _fields(getattr(card, section))
    yield "confidence", card.confidence or "not stated"
    yield "", _calibrated(card)
    if card.notes:
        yield "notes", card.notes
    if card.training:
        held = card.training.get("held_out", {})
        scores = ", ".join(f"{n} {v:g}" for n, v in held.items() if isinstance(v, int | float))
        yield "training", f"{card.training.get('steps')} steps; hands held back: {scores}"


def _calibrated(card: ModelCard) -> str:
    """Say for which numbers of passes there are parameters, and where they come from."""
    weights = [w.sha256 for w in card.weights.values()]
    pairs = [(p, find_calibration(w, p, card.folder)) for p in (0, *PASSES) for w in weights]
    fitted = {p: found.fitted_on for p, found in pairs if found is not None}
    if not fitted:
        return f"not calibrated: used as it is; multiview models calibrate {card.name}"
    passes = ", ".join(map(str, fitted))
    return f"calibrated for passes {passes}; fitted on {'; '.join(dict.fromkeys(fitted.values()))}"


def _fields(section: Any) -> str:
    pairs = section.model_dump(mode="json").items()
    return ", ".join(f"{n} {_plain(v)}" for n, v in pairs if v is not None)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(_plain(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def _picture() -> U8:
    """First picture of the demo capture: a hand on a plain ground."""
    try:
        return open_capture(demo_data() / "take").image(0, 0)
    except MultiviewError as error:
        raise InputError(f"the demo capture of the package: {error.what}", "reinstall") from None
