"""The command line: one verb a stage. Nothing imports this module.

Exit codes: 0 done, 1 checked and found wanting (`calib check`), 2 an error the user can act on (one
message, no traceback), 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tyro

from multiview.config import Config, load_yaml, parse_config
from multiview.errors import MultiviewError
from multiview.verbs import VERBS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except MultiviewError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted: finished parts are kept; run the same command again to go on",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        return 1


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        from multiview.stage import package_version

        print(package_version())
        return 0
    words = 2 if " ".join(arguments[:2]) in VERBS else 1  # "calib check" is one verb
    name = " ".join(arguments[:words])
    if name not in VERBS:
        return _overview(arguments)
    verb = VERBS[name]
    _refuse_repeats(arguments[words:])
    rest, default = _with_config(verb, arguments[words:])
    options: dict[str, Any] = {} if default is None else {"default": default}
    command = tyro.cli(verb, prog=f"multiview {name}", args=rest, **options)
    return command.run() or 0


def _refuse_repeats(arguments: list[str]) -> None:
    """Refuse an option given twice, of which the parser would silently keep the last."""
    names = [a.split("=", 1)[0] for a in arguments if a.startswith("--") and len(a) > 2]
    twice = [n for i, n in enumerate(names) if n in names[:i]]
    if twice:
        raise MultiviewError(
            f"{twice[0]} is given twice", f"give it once; several values follow it: {twice[0]} A B"
        )


def _overview(arguments: list[str]) -> int:
    """List the verbs; complain when one was given that does not exist."""
    lines = ["usage: multiview VERB ... (multiview VERB --help)", ""]
    lines += [
        f"  {name:<15} {(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()
    ]
    lines += ["", "every verb but init reads defaults from --config FILE.yaml; start with: demo"]
    known = not arguments or arguments[0] in {"-h", "--help"}
    if known:
        print("\n".join(lines))
        return 0
    import difflib

    group = [name for name in VERBS if name.startswith(f"{arguments[0]} ")]
    given = " ".join(arguments[:2]) if group else arguments[0]
    near = difflib.get_close_matches(given, group or VERBS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(group or VERBS)}"
    print(f"error: there is no verb {given!r}\n  next: {hint}", file=sys.stderr)
    return 2


def _with_config(verb: type[Config], arguments: list[str]) -> tuple[list[str], Config | None]:
    """Take ``--config FILE`` out of the arguments and read it as the defaults.

    The file may leave out what the line gives.
    """
    split = [part for a in arguments for part in _split_config(a)]
    if "--config" not in split:
        return arguments, None
    at = split.index("--config")
    if at + 1 >= len(split):
        raise MultiviewError("--config needs a file", "multiview VERB --config FILE.yaml ...")
    path = Path(split[at + 1])
    data = load_yaml(path)
    given = data if isinstance(data, dict) else {}
    absent = [n for n, f in verb.model_fields.items() if f.is_required() and n not in given]
    # every required option is a path, so any text passes for one while the rest is checked
    checked = parse_config(
        given | dict.fromkeys(absent, "-") if given else data, verb, where=str(path)
    )
    values = {n: getattr(checked, n) for n in verb.model_fields}
    default = verb.model_construct(**values | dict.fromkeys(absent, tyro.MISSING))
    return split[:at] + split[at + 2 :], default


def _split_config(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith("--config=") else [argument]


if __name__ == "__main__":
    sys.exit(main())
