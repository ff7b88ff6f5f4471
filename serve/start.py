"""`kilowait serve`: a local Ray cluster, the service over it, its address and a token; ended with Ctrl-C.

Without --pretend the cluster has what this machine has. With it, nodes say that they have GPUs: jobs run for real, on
the CPU, and every measurement is marked as pretended. Ray listens on 127.0.0.1, whatever --host says, and asks for a
token of its own, in a file beside the database; RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH in the environment come first.
"""

import argparse
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import ray
import requests
from ray import serve
from ray.cluster_utils import Cluster

from kilowait.client.client import DEFAULT_PORT
from kilowait.core.closed_ray import TOKEN_SUFFIX, closed_ray
from kilowait.core.errors import KilowaitError
from kilowait.core.hardware import add_gpu_file_option, canonical
from kilowait.core.private_files import make_private, private_folder
from kilowait.core.started import command_name
from kilowait.history.lease import LEASE_S
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create, identify
from kilowait.isolation.modes import AUTO, MODES
from kilowait.policies import DEFAULT_POLICY
from kilowait.predict.embed.features import THREADS
from kilowait.simulate.inventory import parse_nodes

from .app import DATABASE, REFIT_EVERY, SQLITE, Options, app, make_folder
from .isolation_options import owner_uid_of, said_at_start
from .reserved_port import EVERYWHERE, reserved
from .runner.gang import NAMESPACE
from .scheduler.claim import claim, let_go, make_ready
from .scheduler.open_cluster import refuse_open_cluster
from .scheduler.ray_nodes import pretended_node
from .sign_on.sign_on_settings import option_of
from .software import software_of

MEMORY_BYTES = 200_000_000
ROUTES_S = 60.0
"""So long the address is not told while nothing of kilowait's own answers there."""
EXAMPLE = """\
examples:
  kilowait serve                                         the GPUs of this machine
  kilowait serve --pretend A100=2,A6000=4                a try-out without GPUs
  kilowait serve --policy easy --port 9000
"""


def main(argv: list[str] | None = None) -> int:
    """Serve until a signal; returns the exit code."""
    args = _arguments(argv)
    try:
        options = _options(args)
        settings = options.settings()
        isolation = said_at_start(settings.isolation)
        with closing(reserved(args.host, args.port)):
            make_folder(settings.url)
            if not settings.standby:  # it upgrades the history when it takes it over
                make_ready(settings.url)
            token = _token(settings.url)
            with closed_ray(ray, _beside(settings.url, TOKEN_SUFFIX)):
                _serve(args, options, token, isolation)
    except KilowaitError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 2
    return 0


def _serve(args: argparse.Namespace, options: Options, token: str, isolation: list[str]) -> None:
    """Start the cluster and the service over it, and end both on a signal; raises InputError for an open cluster."""
    cluster = _cluster(args.pretend)
    cluster_id = claim().cluster
    try:
        refuse_open_cluster(ray.get_runtime_context().gcs_address, allowed=options.allow_open_cluster)
        print("the cluster is up; loading the language model ...", flush=True)
        serve.start(http_options={"host": args.host, "port": args.port})
        serve.run(app(options), name="kilowait")
        until_it_answers(args.host, args.port)
        _say(args, token, isolation)
        _until_signal()
    finally:
        serve.shutdown()
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()
        let_go(options.settings().url, cluster_id)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.start", "kilowait serve"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--pretend", metavar="TYPE=N,...", help="nodes that say that they have these GPUs; TYPE=MxN is M nodes of N")
    add("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    add("--port", type=int, default=DEFAULT_PORT, help="default: %(default)s")
    add(
        "--database",
        default=DATABASE,
        metavar="URL",
        help="the history (default: %(default)s)",
    )
    add("--policy", default=DEFAULT_POLICY, help="as in kilowait simulate (default: %(default)s)")
    add_gpu_file_option(parser)
    add("--threads", type=int, default=THREADS, help="of the language model, each replica (default: %(default)s)")
    every = "learn anew after so many finished measured jobs, 0 for never (default: %(default)s)"
    add("--refit-every", type=int, default=REFIT_EVERY, metavar="N", help=every)
    add("--learn-pretended", action="store_true", help="with --pretend: learn from pretended jobs too, marked so")
    add("--isolation", choices=MODES, default=AUTO, help="how jobs are kept apart (default: the strongest that holds)")
    add("--mount", action="append", default=[], metavar="/PATH[:rw][@OWNER,..]", help="what jobs see besides their own")
    users = "an owner whose jobs run as this user of the machine (isolation user or namespace, as root); repeatable"
    add("--owner-uid", action="append", default=[], metavar="OWNER=UID", help=users)
    choice = "an environment that jobs may choose by name; may be repeated"
    add("--software", action="append", default=[], metavar="NAME=PYTHON", help=choice)
    built = "build what jobs require (submit --requirements) into this folder, and keep it there"
    add("--environments", default="", metavar="FOLDER", help=built)
    places = "an index, or a folder of wheels, that packages are from (default: as uv is told here); repeatable"
    add("--environments-index", action="append", default=[], metavar="URL|FOLDER", help=places)
    unasked = "do so for every job whose folder has a requirements.txt or a uv.lock"
    add("--environments-always", action="store_true", help=unasked)
    per_gpu = "what a job may hold of the node's memory for each of its GPUs (default: its share)"
    add("--memory-gb-per-gpu", type=float, metavar="GB", help=per_gpu)
    add("--container-image", default="", metavar="IMAGE", help="for --isolation container")
    choice = "an image that jobs may choose (submit --image), * for any text in its name; may be repeated"
    add("--image", action="append", default=[], metavar="IMAGE", help=choice)
    kept = "where files that jobs keep are kept: a folder or s3://bucket/path (default: beside an SQLite history)"
    add("--outputs", default="", metavar="URL", help=kept)
    key = "the key by which secrets are encrypted: kilowait secret new-key FILE (default: KILOWAIT_SECRETS_KEY_FILE)"
    add("--secrets-key-file", default="", metavar="FILE", help=key)
    oidc = "a provider of OpenID Connect by which people sign in to the page: issuer=URL, client_id=ID, and more"
    add("--oidc", action="append", default=[], metavar="KEY=TEXT", help=oidc)
    internal = "a host, address or network that is not public and may be told of jobs all the same; may be repeated"
    add("--notify-internal", action="append", default=[], metavar="HOST", help=internal)
    server = "the server that mails notices: smtp://host:25; the password is KILOWAIT_SMTP_PASSWORD"
    add("--smtp", default="", metavar="URL", help=server)
    add("--mail-from", default="", metavar="ADDRESS", help="from whom these mails come")
    add("--mail-domain", action="append", default=[], metavar="DOMAIN", help="may be written to; * for any; repeatable")
    signal = (
        "carbon, water or price over time: carbon=FILE or URL[,zone=Z][,default=N]; jobs that may wait are kept for "
        "better hours. power_budget=...: watts that all boards and hosts never pass. May be repeated"
    )
    add("--signal", action="append", default=[], metavar="NAME=PLACE", help=signal)
    add("--flexible", default="", metavar="TIME", help="so long every job may wait for better hours (default: its own)")
    add("--prices", default="", metavar="FILE", help="a price list that weighs signals and waiting, TOML")
    add("--standby", action="store_true", help="wait while another cluster has the history, and take over from it")
    after = "a standby takes over so long after this scheduler is heard of no more (default: %(default)s)"
    add("--lease-s", type=float, default=LEASE_S, metavar="SECONDS", help=after)
    add("--allow-open-cluster", action="store_true", help="serve even where Ray answers clients without its token")
    return parser.parse_args(argv)


def _options(args: argparse.Namespace) -> Options:
    return Options(
        database=args.database,
        policy=args.policy,
        threads=args.threads,
        refit_every=args.refit_every,
        learn_pretended=args.learn_pretended,
        allow_open_cluster=args.allow_open_cluster,
        isolation=args.isolation,
        mounts=args.mount,
        owner_uids=dict(map(owner_uid_of, args.owner_uid)),
        software=dict(map(software_of, args.software)),
        environments=args.environments,
        environments_index=args.environments_index,
        environments_always=args.environments_always,
        memory_gb_per_gpu=args.memory_gb_per_gpu,
        container_image=args.container_image,
        images=args.image,
        outputs=args.outputs,
        secrets_key_file=args.secrets_key_file,
        oidc=dict(map(option_of, args.oidc)),
        notify_internal=args.notify_internal,
        smtp=args.smtp,
        mail_from=args.mail_from,
        mail_domains=args.mail_domain,
        signals=args.signal,
        flexible=args.flexible,
        prices=args.prices,
        standby=args.standby,
        lease_s=args.lease_s,
    )


def _cluster(pretend: str | None) -> Cluster | None:
    """The cluster that was started beside this process, None where Ray started its own within."""
    if pretend is None:
        ray.init(address="local", namespace=NAMESPACE, include_dashboard=False, log_to_driver=False)
        return None
    nodes = {canonical(name): counts for name, counts in parse_nodes(pretend).items()}
    head: dict[str, Any] = {"num_gpus": 0, "include_dashboard": False, "object_store_memory": MEMORY_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for gpu_type, counts in nodes.items():
        for gpus in counts:
            cluster.add_node(**pretended_node(gpu_type, gpus, memory_bytes=MEMORY_BYTES))
    ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
    return cluster


def _token(url: str) -> str:
    """An operator's token, kept in a file so that the next start shows the same; for this user's eyes only."""
    store = Store(url)
    path = _beside(url, ".token")
    private_folder(path.parent)
    make_private(path)
    try:
        if identify(store, stored := path.read_text().strip()):
            return stored
        token = create(store, "operator", Role.OPERATE, time.time())
        path.write_text(token + "\n")
        return token
    finally:
        store.close()


def _beside(url: str, suffix: str) -> Path:
    """A file of this suffix beside the database, or in out/serve where that is no file."""
    return Path(url.removeprefix(SQLITE) if url.startswith(SQLITE) else "out/serve/kilowait").with_suffix(suffix)


def _say(args: argparse.Namespace, token: str, isolation: list[str]) -> None:
    address = f"http://{args.host}:{args.port}"
    print(f"kilowait is at {address}   (Ctrl-C ends it)")
    print(f"  the page:   {address}/#token={token}")
    print(f"  the client: export KILOWAIT_URL={address} KILOWAIT_TOKEN={token}")
    for line in isolation:
        print(f"  {line}")
    if args.pretend:
        print("  GPUs are pretended: jobs run on the CPU, and every measurement says so")
    if args.host not in ("127.0.0.1", "localhost"):
        print("  others can reach it: put a proxy with TLS in front, or tokens travel in the clear", flush=True)
    sys.stdout.flush()


def until_it_answers(host: str, port: int) -> None:
    """Wait for the routes: Serve tells its proxy of them after the application runs, and it answers 404 until then."""
    local = EVERYWHERE.get(host, host)
    local = f"[{local}]" if ":" in local else local
    deadline_s = time.monotonic() + ROUTES_S
    while time.monotonic() < deadline_s:
        try:
            if requests.get(f"http://{local}:{port}/v1/health", timeout=5).status_code != requests.codes.not_found:
                return
        except requests.RequestException:
            pass  # the proxy is starting
        time.sleep(0.1)


def _until_signal() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


if __name__ == "__main__":
    sys.exit(main())
