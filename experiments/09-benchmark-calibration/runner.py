"""One measured run of a program: alone on the machine, with a time limit, kept until it changes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 600
# Other programs that use more than this many cores meanwhile make a time doubtful.
BUSY_CORES = 0.2


@dataclass(frozen=True)
class Cache:
    """Results in files, each with the key of everything it depends on."""

    folder: Path
    fresh: bool = False
    redo_busy: bool = False

    def get(self, name: str, key: str, any_time: bool = False) -> dict[str, Any] | None:
        """The record of that name if it was made with that key; ``any_time``: whatever is asked."""
        path = self.folder / f"{name}.json"
        if not path.exists() or (self.fresh and not any_time):
            return None
        record = dict(json.loads(path.read_text()))
        again = self.redo_busy and busy(record) and not any_time
        return record if record["key"] == key and not again else None

    def put(self, name: str, key: str, record: dict[str, Any]) -> dict[str, Any]:
        """Write a record; a killed run leaves the old one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.json"
        done = {**record, "key": key, "date": time.strftime("%Y-%m-%d")}
        if busy(record) and "timed out" in record.get("error", ""):
            return done  # not the tool's fault: it gets another chance
        path.with_suffix(".new").write_text(json.dumps(done))
        path.with_suffix(".new").replace(path)
        return done


def busy(record: dict[str, Any]) -> bool:
    """Whether other programs were at work while a result was timed."""
    others = record.get("others")
    return others is None or others > BUSY_CORES


def digest(*parts: object) -> str:
    """Key of whatever a result depends on; paths by content."""
    made = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else json.dumps(part).encode()
        made.update(hashlib.sha256(data).digest())
    return made.hexdigest()[:16]


def machine() -> str:
    """Processor, number of cores and system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((x.split(":")[1].strip() for x in lines if "model name" in x), platform.machine())
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def measure(command: list[str], variables: dict[str, str], timeout_s: int = TIMEOUT_S) -> dict:
    """Run a program; its output, or in ``error`` why it came to nothing.

    Returns
    -------
    dict
        ``out`` (str) or ``error`` (str), ``wall_s``, and ``others``: cores that other programs of
        the machine kept busy meanwhile (None where the system does not tell).
    """
    start, all_s, own_s = time.time(), _busy_s(), _own_s()
    process = subprocess.Popen(
        command,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a time-out ends its children too
    )
    late = False
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    wall = time.time() - start
    now_s = _busy_s()
    theirs = None if all_s is None or now_s is None else now_s - all_s - _own_s() + own_s
    told = {"wall_s": wall, "others": None if theirs is None else max(0.0, theirs / wall)}
    if late:
        return {"error": f"timed out after {timeout_s} s", **told}
    if process.returncode:
        lines = (err or out).strip().splitlines() or [f"exit code {process.returncode}"]
        return {"error": f"failed: {lines[-1][:200]}", **told}
    return {"out": out, **told}


def _busy_s() -> float | None:
    """Processor seconds of all programs since the machine started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, soft, *_ = map(int, stat.read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
