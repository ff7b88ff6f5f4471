"""Power limits of boards, set through NVML and set back: by who set them, by a guard when that dies, or by the next.

Setting one needs root on the node, or CAP_SYS_ADMIN. What a board's limit was before is in a file of `FOLDER` from
before it is changed until it is set back, so that it is known whoever dies. A guard is a process of its own that ends
with its standard input, and then sets back what is left.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kilowait.core.errors import MeterError
from kilowait.measure.nvml import load_nvml

VARIABLE = "KILOWAIT_LIMITS_FOLDER"
"""Names another folder than `FOLDER`; all runners of a node must have the same."""
FOLDER = Path(tempfile.gettempdir()) / f"kilowait-power-limits-{os.getuid()}"


class BoardLimits:
    """The power limits of some boards of this node, in watts; raises MeterError with the board and the remedy."""

    def __init__(self, nvml: Any, uuids: Sequence[str]) -> None:
        self._nvml, self._uuids = nvml, tuple(uuids)
        self._folder = Path(os.environ.get(VARIABLE, FOLDER))
        self._guard: subprocess.Popen[bytes] | None = None

    def set(self, limit_w: float | None) -> None:
        """Limit each board to so many watts, None for what it had before; a board is never given more than it had."""
        if limit_w is None:
            return self.restore()
        for uuid in self._uuids:
            before_mw, least_mw = self._before_mw(uuid), self._least_mw(uuid)
            wanted_mw = round(limit_w * 1000)
            if wanted_mw < least_mw:
                raise MeterError(
                    f"{uuid}: a power limit of {limit_w:g} W is below the board's least, {least_mw / 1000:g} W; "
                    "give the type another curve, or a budget that needs no such limit"
                )
            if min(wanted_mw, before_mw) != self._now_mw(uuid):
                self._change(uuid, before_mw, min(wanted_mw, before_mw))
        return None

    def restore(self) -> None:
        """Give each board the limit back that it had before it was limited here, by whoever that was."""
        for uuid in self._uuids:
            if self._kept(uuid).exists():
                self._set_back(uuid)
        self._dismiss()

    def restore_of(self, pid: int) -> None:
        """As `restore`, of boards that this process limited and nobody since."""
        for uuid in self._uuids:
            if self._said(uuid).get("by") == pid:
                self._set_back(uuid)

    def _set_back(self, uuid: str) -> None:
        self._order(uuid, self._before_mw(uuid))
        self._kept(uuid).unlink(missing_ok=True)

    def _change(self, uuid: str, before_mw: int, limit_mw: int) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = self._kept(uuid)
        known = kept.exists()
        kept.write_text(json.dumps({"before_mw": before_mw, "by": os.getpid()}))
        try:
            self._watch()
            self._order(uuid, limit_mw)
        except MeterError:
            if not known:
                kept.unlink(missing_ok=True)
            raise

    def _order(self, uuid: str, limit_mw: int) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlDeviceSetPowerManagementLimit(self._handle(uuid), limit_mw)
        except nvml.NVMLError as error:
            remedy = "run Ray on this node as root, or take the power budget away"
            raise MeterError(
                f"{uuid}: its power limit cannot be set to {limit_mw / 1000:g} W ({error}): {remedy}"
            ) from error

    def _now_mw(self, uuid: str) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetPowerManagementLimit(self._handle(uuid)))
        except self._nvml.NVMLError as error:
            raise MeterError(f"{uuid}: it has no power limit that can be read ({error})") from error

    def _least_mw(self, uuid: str) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(self._handle(uuid))[0])
        except self._nvml.NVMLError:  # the driver refuses what is too low
            return 0

    def _before_mw(self, uuid: str) -> int:
        """What it had before it was limited here."""
        return self._said(uuid).get("before_mw") or self._now_mw(uuid)

    def _said(self, uuid: str) -> dict[str, int]:
        """What is kept of a board; nothing where it was not limited, or the machine went down over writing it."""
        try:
            return dict(json.loads(self._kept(uuid).read_text()))
        except (OSError, ValueError):
            return {}

    def _handle(self, uuid: str) -> Any:
        return self._nvml.nvmlDeviceGetHandleByUUID(uuid)

    def _kept(self, uuid: str) -> Path:
        return self._folder / f"{uuid}.json"

    def _watch(self) -> None:
        """Have a guard from now on."""
        if self._guard is not None:
            return
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "kilowait.measure.board_limits", str(os.getpid()), *self._uuids],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, VARIABLE: str(self._folder)},
            start_new_session=True,
        )

    def _dismiss(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait()


def main() -> None:
    """Wait until standard input ends, and set the limits of these boards back that a process left."""
    pid, uuids = int(sys.argv[1]), sys.argv[2:]
    sys.stdin.buffer.read()
    BoardLimits(load_nvml(), uuids).restore_of(pid)


if __name__ == "__main__":
    main()
