"""How to write a script's arguments into the text that a predictor reads: `python -m benchmarks.argument_text`.

For generated scripts under argparse, --times as many steps are asked for in three ways: in place of the default
(kilowait.program.text), the words in a last comment, and the words with the values of all options there. What a form
adds beside the number is not the program's: the first reads exactly as the script that was written with that default,
so the others' distance to it is their error. Predictions are modelled; nothing is run.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from kilowait.lab.corpus.generate import GeneratedScript, generate
from kilowait.lab.corpus.styles import STYLES
from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.embed.language_model import load_language_model
from kilowait.predict.predictor import Predictor
from kilowait.predict.probe import bundle as bundles
from kilowait.program.effect import arguments_in_effect
from kilowait.program.job_source import JobSource
from kilowait.program.source import source_from_bytes
from kilowait.program.text import render

FORMS = ("no arguments", "in place", "words in a comment", "words and all options in a comment")
DEVICE = "cpu-1"


def main(argv: Sequence[str] | None = None) -> int:
    """Print, for each form, the median change and the mean error of the predicted run time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", type=int, default=12, help="about how many (default: %(default)s)")
    parser.add_argument("--times", type=int, default=30, help="times as many steps (default: %(default)s)")
    options = parser.parse_args(argv)
    predictor = _predictor()
    scripts = [script for script in generate(options.scripts * len(STYLES), seed=5) if script.style == "argparse"]
    rows = []
    for script in tqdm(scripts, unit="script"):
        texts = _forms(script, options.times)
        sources = [source_from_bytes(script.name, text.encode()) for text in texts]
        rows.append([predictor.predict(source)[DEVICE].runtime_s for source in sources])
    logs = np.log(np.array(rows))
    print(f"{len(rows)} scripts, {options.times} times the steps, predicted run time on {DEVICE} (modelled)")
    for column, form in enumerate(FORMS):
        change = np.exp(np.median(logs[:, column] - logs[:, 0]))
        error = np.exp(np.abs(logs[:, column] - logs[:, 1]).mean()) - 1
        print(f"{form:36} median change x {change:.2f}   off by {error:.0%}")
    return 0


def _predictor() -> Predictor:
    bundle = bundles.load_default()
    depth = max(feature.layer for feature in bundle.features)
    return Predictor(bundle, Embedder(load_language_model(bundle.features[0].model, depth=depth)))


def _forms(script: GeneratedScript, times: int) -> Iterator[str]:
    """The texts in the order of FORMS."""
    plain = JobSource(files={script.name: script.text.encode()}, entrypoint=script.name)
    steps = next(n for n, e in arguments_in_effect(plain).items() if e.value == script.hyperparameters["steps"])
    words = (f"--{steps.replace('_', '-')}", str(times * int(script.hyperparameters["steps"])))
    with_arguments = JobSource(files=plain.files, entrypoint=script.name, arguments=words)
    in_effect = " ".join(f"{name}={e.value}" for name, e in arguments_in_effect(with_arguments).items())
    commented = f"{script.text}# arguments: {' '.join(words)}"
    yield from (script.text, render(with_arguments), f"{commented}\n", f"{commented} -> {in_effect}\n")


if __name__ == "__main__":
    sys.exit(main())
