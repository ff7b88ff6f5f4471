"""The options of sbatch and srun, to tell them from the script: which take a value, and what short ones mean.

From the manual pages of Slurm 22.05 to 24.11. An option that is not here is taken to have a value only after `=`.
"""

SHORT = {
    "A": "account", "a": "array", "B": "extra-node-info", "b": "begin", "C": "constraint", "c": "cpus-per-task",
    "D": "chdir", "d": "dependency", "e": "error", "F": "nodefile", "G": "gpus", "H": "hold", "h": "help",
    "I": "immediate", "i": "input", "J": "job-name", "K": "kill-on-bad-exit", "k": "no-kill", "L": "licenses",
    "l": "label", "M": "clusters", "m": "distribution", "N": "nodes", "n": "ntasks", "O": "overcommit",
    "o": "output", "p": "partition", "Q": "quiet", "q": "qos", "r": "relative", "S": "core-spec", "s": "oversubscribe",
    "T": "threads", "t": "time", "u": "unbuffered", "V": "version", "v": "verbose", "W": "wait",
    "w": "nodelist", "X": "disable-status", "x": "exclude", "Z": "no-allocate", "E": "preserve-env",
}  # fmt: skip
"""Long names by letter."""

WITH_VALUE = frozenset(
    """
    account acctg-freq array batch bb bbf begin chdir clusters cluster-constraint comment constraint container
    container-id core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency
    distribution error exclude export export-file extra extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node
    gpus-per-socket gpus-per-task gres gres-flags hint input job-name kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile nodelist nodes ntasks ntasks-per-core
    ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output partition power prefer priority profile qos
    reservation segment signal sockets-per-node switches thread-spec threads-per-core time time-min tmp tres-bind
    tres-per-task uid wait-all-nodes wckey wrap
    accel-bind cpu-bind epilog het-group jobid max-exit-timeout mpi msg-timeout prolog relative slurmd-debug
    task-epilog task-prolog threads treewidth
    """.split()  # noqa: SIM905
)
"""Options whose value may be the next word."""

WITHOUT_VALUE = frozenset(
    """
    bcast contiguous debugger-test disable-status exact exclusive external get-user-env help hold ignore-pbs immediate
    interactive kill-on-bad-exit label multi-prog nice no-allocate no-kill no-requeue oom-kill-step overcommit overlap
    oversubscribe parsable preserve-env propagate pty quiet quit-on-interrupt reboot requeue resv-ports send-libs
    spread-job stepmgr test-only unbuffered usage use-min-nodes verbose version wait whole
    """.split()  # noqa: SIM905
)
"""Options without one, or with one only after `=`."""

VARIABLES = {
    "sbatch": {
        "account": "SBATCH_ACCOUNT", "array": "SBATCH_ARRAY_INX", "clusters": "SBATCH_CLUSTERS",
        "comment": "SBATCH_COMMENT", "constraint": "SBATCH_CONSTRAINT", "gpus": "SBATCH_GPUS",
        "gpus-per-node": "SBATCH_GPUS_PER_NODE", "gpus-per-task": "SBATCH_GPUS_PER_TASK", "gres": "SBATCH_GRES",
        "partition": "SBATCH_PARTITION", "time": "SBATCH_TIMELIMIT", "qos": "SBATCH_QOS",
        "nodes": "SBATCH_NODES", "ntasks": "SBATCH_NTASKS", "exclusive": "SBATCH_EXCLUSIVE",
        "tres-per-task": "SBATCH_TRES_PER_TASK",
    },
    "srun": {
        "account": "SLURM_ACCOUNT", "clusters": "SLURM_CLUSTERS", "comment": "SLURM_COMMENT",
        "constraint": "SLURM_CONSTRAINT", "gpus": "SLURM_GPUS", "gpus-per-node": "SLURM_GPUS_PER_NODE",
        "gpus-per-task": "SLURM_GPUS_PER_TASK", "gres": "SLURM_GRES", "partition": "SLURM_PARTITION",
        "time": "SLURM_TIMELIMIT", "qos": "SLURM_QOS", "nodes": "SLURM_NNODES", "ntasks": "SLURM_NTASKS",
        "exclusive": "SLURM_EXCLUSIVE", "tres-per-task": "SLURM_TRES_PER_TASK",
    },
}  # fmt: skip
"""Environment variables that stand for options, by command: they win over a script's lines and lose to words."""
