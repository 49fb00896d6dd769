"""Run a command with a time limit; tell its last error and its peak memory as one line of JSON."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

limit, command = float(sys.argv[1]), sys.argv[2:]
try:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    lines = (done.stderr.strip() or "no message").splitlines()
    error = lines[-1][:120] if done.returncode else ""
except subprocess.TimeoutExpired:
    error = f"stopped after {limit:.0f} s"
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"error": error, "peak_mb": round(peak, 1)}))
