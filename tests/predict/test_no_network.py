"""No source leaves the machine: the predictor's replica works where there is no network at all."""

import json
import shutil
import subprocess
import sys

import pytest

from kilowait.predict.dryrun.sandbox import sandbox_available

CHILD = """
import json, socket, sys
reached = []
for family, address in ((socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET, ("127.0.0.1", 9))):
    try:
        socket.create_connection(address, timeout=2).close()
        reached.append(address)
    except OSError:
        pass
from kilowait.program.source import source_from_bytes
from serve.desk.predictor_replica import load
local = load(None, 1, None, 120.0)
text = b"import torch\\nx = torch.ones(9, 9, device='cuda') @ torch.ones(9, 9, device='cuda')\\n"
found = local.predict(source_from_bytes("t.py", text), ["A100"])
local.gpu.dry_runs.close()
print(json.dumps({"reached": reached, "types": sorted(found), "seconds": [p.runtime_s for p in found.values()]}))
"""


def test_a_prediction_needs_no_network():
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("this user may not make a network namespace (unshare -rn)")
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["reached"] == []
    on_gpus = ["A100"] if sandbox_available() is None else []
    assert answer["types"] == [*on_gpus, "cpu-1", "cpu-2"]
    assert all(seconds > 0 for seconds in answer["seconds"])
