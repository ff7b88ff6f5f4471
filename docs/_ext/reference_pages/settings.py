"""The settings: environment variables, and the options of the service's application."""

import ast
import inspect
import re
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from . import commands, parsers

HEAD = """# Settings

## Environment variables

| variable | meaning |
| --- | --- |
"""
VARIABLES = {
    "KILOWAIT_URL": "where the service is, for the commands that speak to it (else `--url`, else http://127.0.0.1:8000)",
    "KILOWAIT_TOKEN": "the token for it (else `--token`, which other users of the host can see)",
    "KILOWAIT_GPUS": "a file of your own GPU types (else `--gpu-file`): [](../how-to/add-a-gpu-type.md)",
    "KILOWAIT_ADVICE": "the folder in which `kilowait sbatch` keeps what it predicted, by id "
    "(default: `~/.local/state/kilowait/advice`)",
    "KILOWAIT_CACHE": "the folder for the unpacked language model and for compiled kernels "
    "(default: `~/.cache/kilowait`)",
    "KILOWAIT_WARM_MINUTES": "for how long `kilowait predict` and `compare` leave a process behind that has PyTorch "
    "loaded for the next one (default: 5; 0: never, as `--cold`)",
    "KILOWAIT_ALIGN_API_KEY": "the key of the chat endpoint, for rewriting sources by `pipelines.alignment` alone",
    "KILOWAIT_ARRAY": "set by the service for a task of a job array: the array's id",
    "KILOWAIT_TASK": "set by the service for a task of a job array: its number",
    "KILOWAIT_JOB_ID": "set by the service for a running job: its id",
    "KILOWAIT_ATTEMPT": "set by the service for a running job: the number of the attempt",
    "KILOWAIT_SECRETS_KEY_FILE": "of the service: the file of the key by which secrets are encrypted",
    "KILOWAIT_OIDC_CLIENT_SECRET": "of the service: its secret at the provider by which people sign in to the page",
    "KILOWAIT_SMTP_PASSWORD": "of the service: the password for the server that mails notices",
    "KILOWAIT_LIMITS_FOLDER": "of the nodes: the folder that says what boards' power limits were before "
    "(default: one in the folder for temporary files)",
    "KILOWAIT_PROGRESS_PATTERN": "of a job: how a line of its log says how far it is; what `--progress-pattern` sets",
}
"""What each means; a test holds this to what the code reads."""
OPTIONS_HEAD = """
## Options of the service's application

Keys of `args` in `serve/config.yaml`, and words of `serve run serve.app:app KEY=VALUE`. `python -m serve.start` has
some of them as options.

| key | default | meaning |
| --- | --- | --- |
"""
MEANINGS = {
    "database": "the history: an SQLite file or a PostgreSQL URL; `$NAME` is read from that environment variable",
    "policy": "a policy's name, with wrappers around it if wished: [](policies.md), [](../how-to/share-a-cluster.md)",
    "policy_options": "the policy's parameters; for `value`, `value_aging` and `value_cvar` the default is a relative "
    "kappa of 1",
    "bundle": "the predictor's bundle (default: the one that comes with kilowait)",
    "device_model": "the device model for types without labels (default: the one that comes with kilowait)",
    "dry_run_budget_s": "CPU seconds of a dry run; 0 for none",
    "threads": "of the language model, each replica",
    "max_queued": "predictions of one user that may wait beside 16; more are refused until there is room",
    "grow_to": "GPUs of each type that Ray's autoscaler may be asked for; a type that is not named never is",
}


def page() -> str:
    """The variables and the options."""
    Options = import_module(f"{parsers.shell('serve')}.app").Options

    rows = [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    texts = {**MEANINGS, **documented(Options)}
    options = [
        f"| `{name}` | `{field.get_default(call_default_factory=True)!r}` | {texts.get(name, '')} |"
        for name, field in Options.model_fields.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + OPTIONS_HEAD + "\n".join(options) + "\n"


def documented(model: type) -> dict[str, str]:
    """The text under each field of a class, by field."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = commands.escaped(" ".join(str(text.value.value).split()))
    return found


def read_by_the_code() -> set[str]:
    """Every variable of kilowait's that stands as a word in the code."""
    folders = ("kilowait", "serve", "pipelines", "tuning")
    files = [path for folder in folders for path in (parsers.ROOT / folder).rglob("*.py")]
    return {name for path in files for name in re.findall(r"\bKILOWAIT_[A-Z_]+\b", Path(path).read_text("utf-8"))}
