"""Learn from the finished jobs of a live service: `kilowait lab refit --database URL`."""

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.jobs import Provenance
from kilowait.core.started import command_name
from kilowait.history.store import Store
from kilowait.live.learning.compare import Score
from kilowait.live.learning.refit import RefitOutcome, RefitRound, refit
from kilowait.report.table import TableView, terminal

CODES = {RefitOutcome.PROMOTED: 0, RefitOutcome.BETTER: 0, RefitOutcome.NOT_BETTER: 3, RefitOutcome.TOO_FEW: 4}
EXAMPLE = """\
examples:
  kilowait lab refit --database sqlite:///out/serve/kilowait.db
  kilowait lab refit --database postgresql://kilowait@db/kilowait --only-compare

Finished jobs whose run time was measured are set beside the base predictions that the service kept. A correction
learns from the older ones, and is compared with the one in force and with the base on the newest, which none of them
has seen. It is promoted when its mean |log(measured / predicted)| of run times there is lower, with the whole 95%
interval of the difference (bootstrap over sources) below 0, and it is worse on nothing: not on energy, not on sources
that are new. Then the service takes it over within seconds, without a restart.

exit codes: 0 promoted (with --only-compare: would be), 2 a mistake in what was given, 1 a failure, 3 not better (kept
as a candidate: kilowait model promote puts it in force all the same), 4 too few measured jobs yet
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.refit", "kilowait lab refit"),
        description="Learn a correction of the predictions from finished jobs, and promote it if it is better.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("--database", required=True, metavar="URL", help="the history of the service, or a path")
    p.add_argument("--only-compare", action="store_true", help="print the comparison and write nothing")
    p.add_argument("--base", metavar="VERSION", help="version of the base predictor (default: the newest seen)")
    text = "learn from pretended GPUs, into a correction that is marked so and speaks of those types alone"
    p.add_argument("--pretended", action="store_true", help=text)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        store = Store(args.database)
        try:
            with Console(stderr=True).status("reading the history, learning and comparing"):
                refit_round = refit(
                    store,
                    now_s=time.time(),
                    base_version=args.base,
                    pretended=args.pretended,
                    only_compare=args.only_compare,
                )
        finally:
            store.close()
    except KilowaitError as error:
        print(f"pipelines.refit: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if refit_round.scores:
        provenance = Provenance.PRETENDED if args.pretended else Provenance.MEASURED
        Console(width=None if sys.stdout.isatty() else 150).print(terminal(view(refit_round, provenance)))
    print(said(refit_round))
    return CODES[refit_round.outcome]


def view(found: RefitRound, provenance: Provenance) -> TableView:
    """The comparison as a table."""
    return TableView(
        title=f"{found.trained} jobs taught, {found.tested} newer ones tested; error is |log(measured / predicted)|",
        headings=(
            "metric",
            "tested on",
            "jobs",
            "sources",
            "base",
            "current",
            "candidate",
            "change",
            "95% interval",
        ),
        rows=tuple(_row(score) for score in found.scores),
        provenance=provenance,
        notes=(
            "Medians; the change is the mean of the candidate's errors minus that of what is in force.",
            f"{found.lacking} measured jobs were left out: no base prediction of {found.base_version} was kept.",
        )[: 2 if found.lacking else 1],
    )


def said(found: RefitRound) -> str:
    """The outcome of the refit, in a line."""
    name = f"{found.version}: " if found.version else ""
    return f"{found.outcome}: {name}{found.reason}"


def _row(score: Score) -> tuple[str, ...]:
    medians = (
        f"{score.median[predictor]:.3f}" if predictor in score.median else "-"
        for predictor in ("base", "current", "candidate")
    )
    numbers = (f"{score.difference:+.3f}", f"{score.low:+.3f} to {score.high:+.3f}")
    return (score.metric, score.jobs_kind, str(score.jobs), str(score.sources), *medians, *numbers)


if __name__ == "__main__":
    sys.exit(main())
