"""Keep the pictures in docs/images: `python docs/pictures.py [notebook] [report] [levers]`; some minutes.

The notebook is run and written as a page by Jupyter (`pip install nbconvert ipykernel`), the report is that of a
service on pretended GPUs that is started for it (port 8000), and Chromium takes both pictures. levers.svg is drawn from
docs/results/levers.json.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from service_session import SHORT, picture, served, until
from sessions import ROOT, session

from kilowait.report.bars import COLOURS
from kilowait.report.figures import INK, SETTINGS, WIDTH, svg

IMAGES = Path(__file__).parent / "images"
RESULTS = Path(__file__).parent / "results"
CELLS = [
    "%load_ext kilowait",
    "import torch\nfrom torch import nn\nfrom torch.utils.data import DataLoader, TensorDataset\n\n"
    'device = "cuda" if torch.cuda.is_available() else "cpu"',
    "data = TensorDataset(torch.randn(50_000, 3, 32, 32), torch.randint(10, (50_000,)))\n"
    "loader = DataLoader(data, batch_size=256, shuffle=True)\n"
    "model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3), nn.ReLU(),\n"
    "                      nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)).to(device)\n"
    "optimizer = torch.optim.AdamW(model.parameters())",
    "%%predict --devices A100,H100,A6000,T4\n"
    "for epoch in range(20):\n"
    "    for images, labels in loader:\n"
    "        loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))\n"
    "        optimizer.zero_grad()\n"
    "        loss.backward()\n"
    "        optimizer.step()",
]
LABELS = [("vision", "faces"), ("vision", "roads"), ("language", "seer"), ("vision", "faces"), ("language", "seer")]
SUBMIT = "kilowait submit examples/train_resnet.py --label group={0} --label project={1} -- " + SHORT + " --lr 0.{2:02}"
REPORT = "kilowait report --month {0} --format html --out {1}"


def main() -> int:
    """Those that are named, or all."""
    drawn = {"notebook": notebook, "report": report, "levers": levers}
    for name in sys.argv[1:] or drawn:
        drawn[name]()
    return 0


def notebook() -> None:
    """The table and the picture below a cell, as Jupyter shows them."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{number}",
            "metadata": {},
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for number, text in enumerate(CELLS)
    ]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "predict.ipynb")
        file.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        words = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", str(file)]
        subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": path()}, cwd=name)
        picture(file.with_suffix(".html").as_uri(), IMAGES / "notebook.png", (1000, 710))


def report() -> None:
    """Of some short jobs of two groups."""
    with served() as (_, service), tempfile.TemporaryDirectory() as name:
        for number, (group, project) in enumerate(LABELS):
            session(SUBMIT.format(group, project, number + 1), **service)
        until(lambda: session("kilowait ps --state finished", **service).count("job-") == len(LABELS))
        page = Path(name, "report.html")
        session(REPORT.format(time.strftime("%Y-%m", time.gmtime()), shlex.quote(str(page))), **service)
        picture(page.as_uri(), IMAGES / "report.png", (1000, 1300))


def levers() -> None:
    """Each lever's points and those of all together, with their intervals, from the record."""
    record = json.loads((RESULTS / "levers.json").read_text(encoding="utf-8"))
    rows = [row for row in record["result"]["rows"] if row["lever"] != "base"]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        for colour, mark, lever in zip(COLOURS, "os^Dv", dict.fromkeys(row["lever"] for row in rows), strict=False):
            (x, x_errors), (y, y_errors) = (
                points([row[of] for row in rows if row["lever"] == lever]) for of in ("completion", "carbon")
            )
            line = {"marker": mark, "color": colour, "ms": 4, "lw": 1.0, "elinewidth": 0.6}
            axes.errorbar(x, y, xerr=x_errors, yerr=y_errors, label=lever, **line)
        axes.scatter(0, 0, color=INK, s=16, zorder=3, label="value, always on")
        axes.set(xlabel="completion time against value on nodes that are always on, %", ylabel="cluster's carbon, %")
        axes.legend(loc="center right", fontsize=8)
        figure.supxlabel(f"{record['provenance']}, paired 95% intervals; {record['date']}", fontsize=7)
        (IMAGES / "levers.svg").write_text(svg(figure), encoding="utf-8")


def points(intervals: list[dict[str, float]]) -> tuple[list[float], list[list[float]]]:
    """Estimates in per cent, and how far the ends of their intervals are from them."""
    estimates = [100 * one["estimate"] for one in intervals]
    ends = [[100 * abs(one[end] - one["estimate"]) for one in intervals] for end in ("low", "high")]
    return estimates, ends


def path() -> str:
    """For the kernel of the notebook: this checkout."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


if __name__ == "__main__":
    sys.exit(main())
