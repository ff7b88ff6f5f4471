"""A stand-in of pynvml whose boards are a file, so that several processes see the same power limits."""

import importlib.util
import json
import os

TEXT = """
import json, os
from pathlib import Path

STATE = Path(os.environ["FILE_NVML"])
NVML_ERROR_NOT_SUPPORTED = 3


class NVMLError(Exception):
    pass


def nvmlInit():
    pass


def nvmlDeviceGetHandleByUUID(uuid):
    return uuid


def nvmlDeviceGetPowerManagementLimit(board):
    return json.loads(STATE.read_text())[board]


def nvmlDeviceGetPowerManagementLimitConstraints(board):
    return [100_000, 400_000]


def nvmlDeviceSetPowerManagementLimit(board, milliwatts):
    if "FILE_NVML_REFUSES" in os.environ:
        raise NVMLError("Insufficient Permissions")
    state = json.loads(STATE.read_text())
    later = STATE.with_suffix(".new")
    later.write_text(json.dumps({**state, board: milliwatts}))
    later.replace(STATE)
"""


def file_nvml(folder, monkeypatch, **watts):
    """The module, with boards of these limits in watts; processes that are started from now on import it too.

    Returns it and a function that says the limits of now.
    """
    state, module = folder / "boards.json", folder / "pynvml.py"
    state.write_text(json.dumps({name: limit_w * 1000 for name, limit_w in watts.items()}))
    module.write_text(TEXT)
    monkeypatch.setenv("FILE_NVML", str(state))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    spec = importlib.util.spec_from_file_location("pynvml", module)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found, lambda: {name: mw / 1000 for name, mw in json.loads(state.read_text()).items()}
