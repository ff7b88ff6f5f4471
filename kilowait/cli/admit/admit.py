"""`kilowait admit`: an admission webhook for Kubernetes that writes predictions into jobs, and keeps none out."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event, Thread

from kilowait.advise.advice import PREFERENCES
from kilowait.advise.kubernetes.advised_workload import PRODUCT, Placing
from kilowait.advise.limit_quantile import RISK
from kilowait.cli.job_options import pair
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option, canonical
from kilowait.predict.one_shot import BESIDE

EXAMPLE = """\
example, as integrations/kubernetes runs it:
  KILOWAIT_URL=http://kilowait.gpus:8000 kilowait admit --cert /tls/tls.crt --key /tls/tls.key --types A100,H100

New Jobs, RayJobs, PyTorchJobs and JobSets that ask for nvidia.com/gpu get annotations with seconds, kWh and memory on
each type, and a preference for nodes of the types that do them soonest. The program comes from a ConfigMap that the
container mounts, from the annotation kilowait/source, or from kilowait/git: https://HOST/OWNER/NAME@COMMIT where
--git-host allows that host. What cannot be predicted in time is admitted as it is.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--cert", type=Path, required=True, metavar="FILE", help="the certificate (PEM); read anew when it changes")
    add("--key", type=Path, required=True, metavar="FILE", help="its private key (PEM)")
    add("--host", default="0.0.0.0", help="where to listen (default: %(default)s)")
    add("--port", type=int, default=8443, help="default: %(default)s")
    add("--types", default=",".join(BESIDE), metavar="TYPE,...", help="GPU types of the cluster (default: %(default)s)")
    add("--prefer", choices=PREFERENCES, default="time", help="what nodes are preferred by (default: time)")
    add("--node-label", default=PRODUCT, metavar="KEY", help="tells nodes apart (default: %(default)s)")
    text = "the label's value on nodes of a type (default: the board's name by its driver); may be repeated"
    add("--node-value", type=pair, action="append", default=[], metavar="TYPE=VALUE", help=text)
    text = "set Kueue's max-exec-time-seconds on jobs of its queues, which ends those that take longer (see --risk)"
    add("--max-exec-time", action="store_true", help=text)
    add("--risk", type=float, default=RISK, help="the share of jobs that may take longer (default: %(default)g)")
    text = "repositories of this host may be a job's source, as github.com; may be repeated (default: none)"
    add("--git-host", action="append", default=[], metavar="HOST", help=text)
    text = "answer Kueue's AdmissionChecks of the controller kilowait.example.com/fits, too"
    add("--kueue-checks", action="store_true", help=text)
    text = "answer within so many seconds, less than the webhook's timeoutSeconds (default: %(default)g)"
    add("--budget-s", type=float, default=8.0, metavar="S", help=text)
    add_gpu_file_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until it is asked to end; raises InputError for a certificate or a type that is none."""
    from kilowait.advise.asking import advice_here
    from kilowait.advise.asking_service import advice_by_service
    from kilowait.advise.kubernetes.admission import Admission
    from kilowait.advise.kubernetes.admission_server import AdmissionServer
    from kilowait.advise.kubernetes.config_maps import read_config_map
    from kilowait.advise.kubernetes.git_source import fetch_source

    if not 0 < args.risk < 1 or not args.budget_s > 0:
        raise InputError(f"--risk must be between 0 and 1, --budget-s > 0; got {args.risk} and {args.budget_s}")
    values: dict[str, tuple[str, ...]] = {}
    for name, value in args.node_value:
        values[canonical(name)] = (*values.get(canonical(name), ()), value)
    placing = Placing(
        gpu_types=tuple(canonical(name) for name in args.types.split(",")),
        label=args.node_label,
        values=values,
        prefer=args.prefer,
        limit=args.max_exec_time,
        risk=args.risk,
    )
    url, token = os.environ.get("KILOWAIT_URL"), os.environ.get("KILOWAIT_TOKEN")
    ask = partial(advice_by_service, url=url, token=token) if url else advice_here
    fetch = partial(fetch_source, hosts=frozenset(args.git_host)) if args.git_host else None
    admission = Admission(ask=ask, read=read_config_map, placing=placing, fetch=fetch)
    try:
        server = AdmissionServer((args.host, args.port), admission, (args.cert, args.key), args.budget_s)
    except OSError as error:
        raise InputError(f"--host {args.host} --port {args.port}: {error.strerror}") from error
    stop = Event()
    if args.kueue_checks:
        from kilowait.advise.kubernetes.admission_check import run_checks
        from kilowait.advise.kubernetes.api_server import api_server

        Thread(target=run_checks, args=(api_server("kilowait"), stop), daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not url:
        sys.stderr.write("kilowait: without KILOWAIT_URL a new program takes ten seconds, too long for most reviews\n")
    sys.stdout.write(f"admits at https://{args.host}:{server.server_address[1]}/\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        stop.set()
        server.workers.shutdown(wait=False, cancel_futures=True)
        server.server_close()
    return 0
