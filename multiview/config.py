"""Strict YAML: a misspelt key is an error that names the nearest right one."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from multiview.errors import ConfigError

__all__ = ["Config", "load_yaml", "parse_config", "read_yaml"]

ModelT = TypeVar("ModelT", bound=BaseModel)


class Config(BaseModel):
    """Base of all configurations: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after checking its keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [k for n, k in enumerate(keys) if k in keys[:n]]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]!r} is given twice", node.start_mark
            )
        return dict(super().construct_mapping(node, deep))


def load_yaml(path: Path) -> Any:
    """Read a YAML file (safe loader only).

    Raises
    ------
    ConfigError
        If the file is missing, not text or not YAML; names the file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", "give a YAML text file") from None
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise ConfigError(
            f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})",
            "compare with an example in docs/formats.md",
        ) from None


def read_yaml(path: str | Path, model: type[ModelT]) -> ModelT:
    """Read a YAML file into a pydantic model.

    Raises
    ------
    ConfigError
        Naming the file, the key, and the nearest valid key for a misspelt one.
    """
    path = Path(path)
    return parse_config(load_yaml(path), model, where=str(path))


def parse_config(data: Any, model: type[ModelT], where: str) -> ModelT:
    """Validate plain data against a pydantic model; ``where`` names the source in messages."""
    if not isinstance(data, dict):
        raise ConfigError(
            f"{where}: holds {type(data).__name__}, expected keys {_keys(model)}",
            "compare with an example in docs/formats.md",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # a misspelt key makes pydantic complain first that the right one is missing
        found = error.errors()
        first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
        raise ConfigError(*_explain(first, model, where)) from None


def _keys(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _explain(error: Any, model: type[BaseModel], where: str) -> tuple[str, str]:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {place}: {error['msg']}", f"got {error['input']!r:.80}; correct the value"
    valid = _fields_at(model, error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "remove it"
    return f"{where}: unknown key {place!r}", f"{hint} (valid here: {', '.join(valid)})"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Field names of the nested model that an error location points into."""
    current: Any = model
    for part in loc:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:  # a dict key or list position: the item type is already current
            continue
        current = _inner_model(field.annotation)
    return list(getattr(current, "model_fields", {}))


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None
