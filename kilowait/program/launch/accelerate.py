"""`accelerate launch`: its options, its configuration file, and the variables by which it tells the program.

Not covered: DeepSpeed, Megatron and TPUs by configuration; a program of these is followed as plain data parallel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kilowait.program.launch.option_words import OptionWords, first_number, split_options

ReadText = Callable[[str], str | None]
"""The text of a file by its path as it was written, None where there is none."""
_SWITCHES = (
    "--multi_gpu --multi-gpu --cpu --mps --tpu --use_deepspeed --use_fsdp --use_megatron_lm --use_xpu --quiet -q "
    "--module -m --no_python --same_network --use_mps_device --ipex --dynamo_use_dynamic --dynamo_use_fullgraph "
    "--enable_cpu_affinity --debug --use_parallelism_config --no-python --use-deepspeed --use-fsdp"
)
_FSDP = {"fsdp_version": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccelerateStart:
    """How many processes on how many nodes (0: not said), and what each sees."""

    processes: int
    nodes: int
    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()


def accelerate_options(words: list[str]) -> OptionWords:
    """The options of `accelerate launch`, and the program after them."""
    return split_options(words, _SWITCHES.split())


def accelerate_start(options: OptionWords, read: ReadText) -> AccelerateStart:
    """What the options say, and the configuration file where they do not."""
    path = options.value("config_file")
    text = read(path) if path else None
    settings = flat_yaml(text) if text else {}
    notes: tuple[str, ...] = () if text or not path else (f"{path}, the configuration of accelerate, is not there",)

    def setting(name: str) -> str:
        return options.value(name) or settings.get(name, "")

    kind = settings.get("distributed_type", "").upper()
    processes = first_number(setting("num_processes"))
    listed = [part for part in setting("gpu_ids").split(",") if part.strip().isdigit()]
    precision = setting("mixed_precision").lower()
    environment = {"ACCELERATE_MIXED_PRECISION": precision} if precision not in ("", "no", "false") else {}
    steps = first_number(setting("gradient_accumulation_steps"))
    environment |= {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": str(steps)} if steps > 1 else {}
    environment |= _sharded(options, settings) if kind == "FSDP" or options.has("use_fsdp") else {}
    if kind in ("DEEPSPEED", "MEGATRON_LM") or options.has("use_deepspeed", "use_megatron_lm"):
        notes += (f"accelerate's {(kind or 'DeepSpeed').title()} is followed as plain data parallel",)
    single = kind == "NO" and not options.has("multi_gpu", "num_processes")
    return AccelerateStart(
        processes=1 if single else processes or len(listed),
        nodes=first_number(setting("num_machines")),
        environment=environment,
        notes=notes,
    )


def _sharded(options: OptionWords, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables by which accelerate tells a program to shard (FSDP)."""
    given = {name: value for name, value in options.pairs if name.startswith("fsdp_") and value}
    parts = {**_FSDP, **{name: value for name, value in settings.items() if name.startswith("fsdp_")}, **given}
    return {"ACCELERATE_USE_FSDP": "true", **{name.upper(): value for name, value in parts.items()}}


def flat_yaml(text: str) -> dict[str, str]:
    """The scalars of a YAML file by their last name; lists, anchors and texts of several lines are left out."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.split(" #")[0].strip().partition(":")
        value = value.strip().strip("'\"")
        if colon and value and not name.startswith(("-", "#")) and value not in ("null", "{}", "[]", "~"):
            values[name.strip("'\"")] = value
    return values
