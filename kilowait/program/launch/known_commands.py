"""Commands that start others, and which of their options have no value."""

SWITCHES = {
    "python": "-u -B -O -OO -s -S -E -I -q -v -d -i -x -P",
    "torchrun": "--standalone --no-python --no_python --module -m --use-env --use_env --run-path --run_path",
    "deepspeed": "--module --no_python --no_local_rank --force_multi --save_pid --enable_each_rank_log",
    "srun": "-l --label -u --unbuffered -E --preserve-env --exclusive --overlap -v --verbose -K --pty --no-kill -Q -s "
    "--exact --oversubscribe --kill-on-bad-exit --disable-status",
    "mpirun": "--allow-run-as-root --oversubscribe -oversubscribe --tag-output --report-bindings -q --quiet -v "
    "--display-map --use-hwthread-cpus --bind-to-core -verbose --verbose",
    "env": "-i --ignore-environment -0",
    "time": "-p -v",
    "nohup": "",
    "exec": "-a",
    "setsid": "",
    "stdbuf": "",
    "sudo": "-E -H -n",
    "xvfb-run": "-a --auto-servernum",
    "uv": "--no-sync --frozen --locked --isolated --no-project --active",
    "poetry": "",
    "pipenv": "",
    "conda": "--no-capture-output --live-stream",
    "apptainer": "--nv --rocm -e --cleanenv --containall -c --contain --writable-tmpfs --no-home -C",
}
"""Options without a value, by who takes them."""
SHELLS = ("bash", "sh", "zsh", "dash", "ksh", "sbatch")
SHELL_SCRIPTS = (".sh", ".bash", ".zsh", ".sbatch", ".slurm")
WRAPPERS = frozenset(
    [
        "env",
        "time",
        "nohup",
        "exec",
        "nice",
        "ionice",
        "numactl",
        "taskset",
        "setsid",
        "stdbuf",
        "sudo",
        "xvfb-run",
        "command",
        "caffeinate",
        "timeout",
        "tsp",
        "unbuffer",
        "nsys",
        "ncu",
    ]
)
"""What stands before a command and runs it."""
RUNNERS = {"uv": "run", "poetry": "run", "pipenv": "run", "conda": "run", "mamba": "run", "micromamba": "run"}
CONTAINERS = {"apptainer": "exec", "singularity": "exec"}
