"""What a training step frees is there for the next one."""

import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="torch (extra `train`) is not installed")

SCRIPT = """
import resource, sys, torch
from multiview.train.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        parts = [torch.ones(4_000_000) for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def pages(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an option of glibc")
def test_large_tensors_are_not_mapped_anew_every_step():
    assert pages("keep") < pages("plain") / 10
