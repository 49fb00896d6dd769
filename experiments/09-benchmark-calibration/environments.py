"""The peers' own virtual environments, made once under a cache folder outside the repository.

A package that cannot be had is no error of the benchmark: the reason is kept, printed, and stands
in the table instead of numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

INSTALL_TIMEOUT_S = 900
VERSIONS = (
    "import json, sys, importlib.metadata as m; "
    "found = {n: m.version(n) for n in sys.argv[1:]}; "
    "print(json.dumps({'python': sys.version.split()[0], **found}))"
)


@dataclass(frozen=True)
class Recipe:
    """How an environment is made.

    ``packages`` are installed with their dependencies; ``alone`` without (a dependency of theirs
    does not build everywhere and is not needed); ``extra`` is what the package uses but forgot to
    ask for; ``apt`` are Debian packages, used with Debian's own interpreter.
    """

    packages: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    python: tuple[str, ...] = ("python3.11", "python3.12", "python3")


OPENCV = "opencv-python-headless==5.0.0.93"
RECIPES = {
    "bench": Recipe(("numpy==2.4.6", "scipy==1.17.1", OPENCV)),
    "mrcal": Recipe(
        packages=("numpy", "scipy", "numpysane", "gnuplotlib", "pyyaml", "shapely", OPENCV),
        alone=("mrcal==2.5.2.post1",),  # its pyfltk is for a viewer and has no wheel
        python=("python3.12", "python3.13"),  # the wheels are for these
    ),
    "mrcal_debian": Recipe(apt=("mrcal", "python3-mrcal")),
    "multical": Recipe(("multical==0.4.0",), extra=("numpy<2",)),  # its OpenCV 4.6 needs numpy 1
    "caliscope": Recipe(("caliscope==0.11.8",)),
    "aniposelib": Recipe(("aniposelib==0.8.0",)),
    "mcc": Recipe(
        ("multicam-calibration==0.0.0",), extra=("scikit-learn", "pandas", "imageio", OPENCV)
    ),
    "vcal": Recipe(("vision-calibration==0.9.0",), extra=("numpy",)),
    "pycalib": Recipe(("pycalib-simple==2026.7.22.1",), extra=("pyyaml", "pandas", "tqdm")),
    "adjusters": Recipe(("pyceres==2.6", "pycolmap==4.2.1", "jax", "scipy", OPENCV)),
    "charts": Recipe(("matplotlib==3.11.2",)),
}


@dataclass(frozen=True)
class Environment:
    """A ready interpreter and what is in it, or why there is none."""

    name: str
    python: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables for its programs: its own commands come first."""
        first = str(Path(self.python).parent)
        return {**os.environ, "PATH": os.pathsep.join([first, os.environ.get("PATH", "")])}

    def describe(self) -> str:
        """One line for the log."""
        if self.error:
            return f"{self.name}: not available: {self.error}"
        return f"{self.name}: " + ", ".join(f"{k} {v}" for k, v in self.versions.items())


def ours() -> Environment:
    """The interpreter that runs this experiment."""
    names = ("numpy", "scipy", "opencv-python-headless")
    return Environment("ours", sys.executable, _versions(sys.executable, names))


def prepare(name: str, cache: Path, retry: bool = False) -> Environment:
    """Make an environment, or find the one made before with the same recipe."""
    recipe, folder = RECIPES[name], cache / "environments" / name
    stamp = folder.with_suffix(".json")
    wanted = json.dumps(asdict(recipe))
    if stamp.exists():
        known = json.loads(stamp.read_text())
        found = Environment(**known["environment"])
        if known["recipe"] == wanted and not (found.error and retry):
            return found
    print(f"making the environment of {name} ...", flush=True)
    try:
        made = _debian(name, recipe) if recipe.apt else _venv(name, recipe, folder)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        made = Environment(name, error=str(error)[-300:])
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps({"recipe": wanted, "environment": asdict(made)}))
    return made


def _venv(name: str, recipe: Recipe, folder: Path) -> Environment:
    base = next((p for n in recipe.python for p in _interpreters(n) if _starts(p)), None)
    if base is None:
        raise RuntimeError(f"needs {' or '.join(recipe.python)}, which is not here")
    shutil.rmtree(folder, ignore_errors=True)
    _call([base, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for more, packages in (
        ((), recipe.packages),
        (("--no-deps",), recipe.alone),
        ((), recipe.extra),
    ):
        if packages:
            _call([*pip, *more, *packages])
    names = [p.split("=")[0].split("<")[0] for p in (*recipe.packages, *recipe.alone)]
    return Environment(name, python, _versions(python, [*dict.fromkeys([*names, "numpy"])]))


def _debian(name: str, recipe: Recipe) -> Environment:
    status = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *recipe.apt]
    if shutil.which("apt-get") is None:
        raise RuntimeError("needs Debian's apt-get")
    if subprocess.run(status, capture_output=True, check=False).returncode:
        if os.geteuid():
            raise RuntimeError(f"needs root once: apt-get install {' '.join(recipe.apt)}")
        _call(["apt-get", "install", "-y", "-q", "--no-install-recommends", *recipe.apt])
    lines = _call(status).splitlines()
    python = "/usr/bin/python3"
    versions = {**_versions(python, ["numpy"]), **dict(line.split() for line in lines if line)}
    return Environment(name, python, versions)


def _interpreters(name: str) -> list[str]:
    """Where an interpreter of that name may be: on the path, or among pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [*filter(None, [shutil.which(name)]), *map(str, sorted(root.glob(f"*/bin/{name}")))]


def _starts(python: str) -> bool:
    """Whether an interpreter is there in fact: shims of version managers may lead nowhere."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def _versions(python: str, names: list[str] | tuple[str, ...]) -> dict[str, str]:
    return dict(json.loads(_call([python, "-c", VERSIONS, *names])))


def _call(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode:
        lines = [x for x in (done.stdout + done.stderr).splitlines() if "WARNING" not in x]
        told = [x for x in lines if "error" in x.lower()] or lines
        raise RuntimeError(f"{' '.join(command[:4])} ...: {' '.join(told[-2:])}")
    return done.stdout
