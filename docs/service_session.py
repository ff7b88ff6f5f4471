"""Start the service on pretended GPUs, submit the examples, keep what the commands print and a picture of the page.

    python docs/service_session.py      # some minutes; needs chromium for the picture, and port 8000

Writes serve.txt, submit.txt, submit_folder.txt and follow.txt in docs/sessions, and docs/images/page.png. The
secret part of the token is left out of what is kept.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sessions import ROOT, SESSIONS, session

SERVE = "kilowait serve --pretend A100=1,A6000=2"
SHORT = "--images 64 --batch-size 16 --width 8 --epochs 1"
SUBMIT = [
    f"kilowait submit examples/train_resnet.py -- {SHORT}",
    "kilowait submit examples/bert --entrypoint train.py -- --config config.yaml --steps 2 --batch-size 1",
]
MORE = [f"kilowait submit examples/train_resnet.py -- {SHORT} --lr 0.{n:02}" for n in range(1, 9)]
FOLLOW = ["kilowait ps", "kilowait show job-00000003", "kilowait why {waiting}"]
PAGE = Path(__file__).parent / "images" / "page.png"
START_S = 300


def main() -> int:
    """Serve, speak to the service, end it."""
    with served() as (said, service):
        keep("serve", f"$ {SERVE}\n{said}")
        speak(service)
    return 0


@contextmanager
def served() -> Iterator[tuple[str, dict[str, str]]]:
    """A service on pretended GPUs, ended in the end: what it said as it started, and the variables that lead to it."""
    shutil.rmtree(ROOT / "out" / "serve", ignore_errors=True)
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        ["bash", "-c", f"exec {SERVE}"],
        cwd=ROOT,
        env={**os.environ, "PATH": places},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        said = started(process)
        token = re.search(r"kw_[\w-]+", said)
        assert token, said
        yield said, {"KILOWAIT_URL": "http://127.0.0.1:8000", "KILOWAIT_TOKEN": token[0]}
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=120)


def started(process: "subprocess.Popen[str]") -> str:
    """What the service says until it says that GPUs are pretended, its last word."""
    said, began = "", time.monotonic()
    assert process.stdout
    for line in process.stdout:
        said += line
        if "pretended" in line:
            return said
        if time.monotonic() - began > START_S:
            break
    raise SystemExit(f"the service did not start:\n{said}")


def speak(service: dict[str, str]) -> None:
    """Submit, wait until a few are over and some wait, ask, and take the picture."""
    keep("submit", session(SUBMIT[0], **service))
    keep("submit_folder", session(SUBMIT[1], **service))
    session("kilowait ps --state running", **service)
    for command in MORE:
        session(command, **service)
    until(lambda: "finished" in session("kilowait show job-00000003", **service))
    waiting = re.search(r"job-\d+", session("kilowait ps --state waiting", **service).partition("\n")[2])
    asked = [command.format(waiting=waiting[0] if waiting else "job-00000003") for command in FOLLOW]
    picture(f"{service['KILOWAIT_URL']}/#token={service['KILOWAIT_TOKEN']}", PAGE, (1100, 1010))
    keep("follow", session(*asked, **service))


def until(true) -> None:
    """Wait, at most some minutes."""
    end = time.monotonic() + START_S
    while not true():
        if time.monotonic() > end:
            raise SystemExit("no job was over in time")
        time.sleep(2)


def picture(page: str, file: Path, size: tuple[int, int]) -> None:
    """Keep a picture of the page at this address in a file, by a browser without a window."""
    file.parent.mkdir(exist_ok=True)
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options = [f"--screenshot={file}", f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=15000"]
    subprocess.run([*browser, *options, page], check=True, capture_output=True, timeout=180)


def keep(name: str, shown: str) -> None:
    """Write a session without the secret of its token."""
    (SESSIONS / f"{name}.txt").write_text(re.sub(r"kw_[\w-]+", "kw_...", shown), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
