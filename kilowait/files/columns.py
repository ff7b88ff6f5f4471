"""Parquet schemas: the only place where column names are written."""

import pyarrow as pa

CORPUS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("path", pa.string()),  # relative to the manifest
        ("family", pa.string()),
        ("group", pa.string()),  # siblings and twins share it: a grouped split keeps them together
        ("style", pa.string()),
        ("scale", pa.string()),  # cpu or gpu
        ("hyperparameters", pa.string()),  # JSON object
        ("source_bytes", pa.int64()),
        ("entry", pa.string()),  # script: the file is run; forward: Model(*get_init_inputs())(*get_inputs()) is
    ]
)
"""One row a program (manifest.parquet beside the files)."""

ADDED_COLUMNS = {"entry": "script"}
"""Columns that tables written before them lack, and what holds for the rows of those."""

TIMINGS = pa.schema(
    [
        # `hardware` is the board as the table of timings names it
        *((name, pa.string()) for name in ("content_hash", "run", "device_type", "hardware", "level", "problem")),
        ("runtime_s", pa.float64()),  # mean over the timed calls
        ("std_s", pa.float64()),  # over the timed calls
        *((name, pa.string()) for name in ("commit", "source_path", "blob")),
        ("line", pa.int64()),  # of the file it was imported from
    ]
)
"""One row an imported measurement, every run apart (timings.parquet); all are measured."""

TWINS = pa.schema(
    [
        *CORPUS,
        ("original", pa.string()),  # content hash of the script with the same work
        ("original_path", pa.string()),  # its name in its corpus
        ("disguises", pa.list_(pa.string())),
        ("same_result", pa.bool_()),  # both were run and printed the same last number; null where they were not run
    ]
)
"""One row a twin (manifest.parquet beside the twins), readable as a corpus too."""

RUNS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("path", pa.string()),
        ("device_type", pa.string()),  # cpu-1, cpu-2, A100-80GB, ...
        ("device_id", pa.string()),  # NVML UUID, or the host's name for a CPU
        ("attempt", pa.int32()),  # 1, 2, ...
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("exit_code", pa.int32()),  # 0 is success; negative is the signal that ended it
        ("failure", pa.string()),  # null on success, else why: "timeout after 60 s", last line of stderr
        ("startup_s", pa.float64()),  # process start to the script's first line of work
        ("warmup_s", pa.float64()),  # first step, null where no step was seen
        ("steady_s", pa.float64()),  # the rest
        ("runtime_s", pa.float64()),  # the label: startup excluded on a warm CPU process, wall clock
        ("energy_j", pa.float64()),
        ("power_mean_w", pa.float64()),
        ("power_peak_w", pa.float64()),
        ("peak_memory_bytes", pa.int64()),
        ("runtime_provenance", pa.string()),  # measured
        ("energy_provenance", pa.string()),  # measured or estimated
        ("meter", pa.string()),  # nvml-energy-counter, nvml-power-sampling, cpu-constant-power
        ("host", pa.string()),
        ("device_name", pa.string()),
        ("driver", pa.string()),
        ("versions", pa.string()),  # JSON object: python, torch, kilowait
    ]
)
"""One row a run of a script on a device, failures included."""

LABELS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("family", pa.string()),
        ("group", pa.string()),
        ("style", pa.string()),
        ("device_type", pa.string()),
        ("runs", pa.int32()),
        ("runtime_s", pa.float64()),  # mean of the accepted pair
        ("energy_j", pa.float64()),
        ("spread", pa.float64()),  # |a - b| / mean of the accepted pair's runtimes
        ("flagged", pa.bool_()),  # no pair within the tolerance after the last repeat
        ("runtime_provenance", pa.string()),
        ("energy_provenance", pa.string()),
    ]
)
"""One row a script and device type. A site adds a metric (carbon_g, water_l) as one more float64 column."""

POOLED_LABELS = LABELS.append(pa.field("run", pa.string()))
"""LABELS with the names of the runs that a label was pooled from, joined by +."""

LABEL_METRICS = ("runtime_s", "energy_j")
"""The metrics every label table has; any other float64 column that is not in LABELS is a metric too."""

EMBEDDINGS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("features", pa.string()),  # FeatureConfiguration.key
        ("tokens", pa.int32()),
        ("windows", pa.int32()),
        ("vector", pa.list_(pa.float32())),
    ]
)
"""One row a source and feature configuration."""

DRYRUNS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("target", pa.string()),  # cuda (a pretended GPU) or cpu
        ("completeness", pa.string()),  # whole, guessed, partial or failed
        ("reason", pa.string()),  # why it is not whole, else empty
        ("steps", pa.float64()),
        ("parameters", pa.float64()),
        ("peak_memory_bytes", pa.float64()),
        ("seconds", pa.float64()),  # of the dry run itself, measured; everything else is counted
        ("operations", pa.string()),  # JSON: a list of dryrun.record.Operation
    ]
)
"""One row a source and target of a dry run."""

RESIDUALS = pa.schema(
    [
        ("content_hash", pa.string()),
        ("family", pa.string()),
        ("device_type", pa.string()),
        ("metric", pa.string()),
        ("measured", pa.float64()),
        ("predicted", pa.float64()),  # out of fold
        ("model", pa.string()),
    ]
)
"""Out-of-fold predictions, for plots and for realistic prediction errors in backtests."""

HELD_OUT = pa.schema([*RESIDUALS, ("low", pa.float64()), ("high", pa.float64()), ("wide", pa.bool_())])
"""RESIDUALS with the ends of 90% intervals, null where there are none, and whether the model doubted the row."""

BACKTEST = pa.schema(
    [
        ("classes", pa.string()),  # the scenario's table of job classes
        ("predictions", pa.string()),  # oracle, or noisy:MODEL
        ("sample", pa.int32()),
        ("policy", pa.string()),  # its label in tables
        ("kappa", pa.float64()),  # per kWh, null for policies without one
        ("jobs", pa.int32()),
        ("gpus", pa.int32()),
        ("total_wait_s", pa.float64()),
        ("delayed_tasks", pa.int32()),
        ("running_s", pa.float64()),
        ("gpu_running_s", pa.float64()),  # GPUs times run time
        ("energy_kwh", pa.float64()),  # the jobs' own
        ("cluster_energy_kwh", pa.float64()),  # with the idle power of free GPUs
        ("greenest_kwh", pa.float64()),  # every job on its cheapest type: no policy can do better
        ("wait_bound_s", pa.float64()),  # no schedule's total waiting is less; 0 where nothing is proved
        ("makespan_s", pa.float64()),
        ("p50_wait_s", pa.float64()),
        ("p99_wait_s", pa.float64()),
        ("max_wait_s", pa.float64()),
    ]
)
"""One row a sample and policy; every number is modelled."""

TRACE_JOBS = pa.schema(
    [
        ("job_id", pa.string()),
        ("submit_s", pa.float64()),  # after scaling to the load
        ("gpus", pa.int32()),  # boards
        ("gpu_milli", pa.int32()),  # thousandths of each
        ("job_class", pa.string()),  # drawn for what is modelled
        ("gpu_type", pa.string()),
        ("runtime_s", pa.float64()),
        ("energy_kwh", pa.float64()),
        ("runtime_provenance", pa.string()),  # measured or modelled
        ("energy_provenance", pa.string()),
        ("window", pa.int32()),  # the sample it belongs to, null for a job after the last one
    ]
)
"""One row a planned job of a trace and a GPU type it can run on."""

STUDY_CELLS = pa.schema(
    [
        ("sample", pa.int32()),
        *((name, BACKTEST.field(name).type) for name in BACKTEST.names[BACKTEST.names.index("jobs") :]),
        ("jain", pa.float64()),  # over users' mean slowdowns, or over jobs' where users is 0
        ("users", pa.int32()),
        ("p99_bounded_slowdown", pa.float64()),
        ("policy_s", pa.float64()),  # process time inside the policy: measured, everything else is modelled
    ]
)
"""One row a sample under one policy with one kind of information: a finished cell of pipelines.study."""

STUDY = pa.schema(
    [
        ("part", pa.string()),  # information, error, bias, types
        ("world", pa.string()),
        ("information", pa.string()),  # what the policy saw
        ("x", pa.float64()),  # level of the error, factor of the bias, number of types; null where there is no axis
        ("policy", pa.string()),
        *STUDY_CELLS,
    ]
)
"""The rows of STUDY_CELLS with the place they have in the study; a cell that two parts share stands twice."""

RATES = pa.schema(
    [
        ("rate", pa.float64()),  # jobs a second
        ("classes", pa.string()),
        ("policy", pa.string()),
        ("gpus", pa.int64()),
        ("jobs", pa.int64()),  # of the run
        ("placed", pa.int64()),  # of these before the run ended or was stopped
        ("finished", pa.bool_()),  # false: stopped, its time was spent
        ("calls", pa.int64()),  # decisions
        ("p50_s", pa.float64()),  # process time of a decision, measured
        ("p99_s", pa.float64()),
        ("policy_s", pa.float64()),  # of all decisions
        ("scheduler_s", pa.float64()),  # of the whole run: decisions, events, queue
        ("sustained", pa.float64()),  # jobs placed a second of process time, over the later half of them
        ("longest_queue", pa.int64()),
        ("energy_kwh", pa.float64()),  # of all jobs, modelled; null unless finished
    ]
)
"""One row a rate of arrivals and policy (pipelines.study); seconds are measured process time."""

KAPPA_TRIALS = pa.schema(
    [
        ("classes", pa.string()),
        ("predictions", pa.string()),
        ("kappa", pa.float64()),  # per kWh
        ("samples", pa.int32()),
        ("total_wait_s", pa.float64()),
        ("running_s", pa.float64()),
        ("energy_kwh", pa.float64()),
    ]
)
"""One row a table of job classes and kappa: totals over all validation samples."""

KAPPA_FRONT = KAPPA_TRIALS.append(pa.field("provenance", pa.string()))
"""The rows of KAPPA_TRIALS that no other row of their table of classes beats in waiting and energy; all modelled."""

PROBE_TRIALS = pa.schema(
    [
        ("trial", pa.string()),
        ("kind", pa.string()),
        ("features", pa.string()),
        ("folds", pa.int32()),  # finished; fewer than asked for when it was ended early
        ("log_rmse", pa.float64()),  # over those folds, of the logarithm of the metric
        ("median_ape", pa.float64()),
        ("seconds", pa.float64()),
        ("drawn", pa.string()),  # JSON object: what the search chose
        ("config", pa.string()),  # JSON object: the whole ProbeConfig
        ("error", pa.string()),
    ]
)
"""One row a trial of tuning.probe."""


HISTORY = pa.schema(
    [
        ("job_id", pa.string()),
        ("attempt", pa.int32()),
        ("owner", pa.string()),
        ("labels", pa.string()),  # JSON object
        ("priority", pa.int32()),
        ("state", pa.string()),  # of the job: waiting (to be tried again), finished, failed, cancelled
        ("gpu_type", pa.string()),
        ("gpus", pa.int32()),
        ("submitted_s", pa.float64()),  # times are seconds since the epoch
        ("placed_s", pa.float64()),
        ("started_s", pa.float64()),
        ("ended_s", pa.float64()),
        ("exit_code", pa.int32()),
        ("reason", pa.string()),  # why it ended badly, null where it did not
        ("predicted_runtime_s", pa.float64()),
        ("predicted_energy_j", pa.float64()),
        ("predicted_provenance", pa.string()),  # modelled, or asked for a shell
        ("probe_version", pa.string()),
        ("features", pa.string()),
        ("runtime_s", pa.float64()),
        ("runtime_provenance", pa.string()),  # measured, pretended
        ("energy_j", pa.float64()),
        ("energy_provenance", pa.string()),  # measured, estimated, pretended
        ("meter", pa.string()),
        ("peak_memory_bytes", pa.int64()),
        ("gpu_memory_bytes", pa.int64()),
        # by the site's signals, null without; estimated, modelled (by a forecast) or pretended
        *((name, pa.float64()) for name in ("carbon_g", "water_l", "electricity_usd")),
        *((name, pa.string()) for name in ("carbon_provenance", "water_provenance", "electricity_provenance")),
    ]
)
"""One row an attempt of a live scheduler that has ended: what was predicted beside what was measured."""


def metric_columns(schema: pa.Schema) -> list[str]:
    """The metrics of a label table: `LABEL_METRICS`, then every further float64 column."""
    extra = [f.name for f in schema if f.type == pa.float64() and f.name not in LABELS.names]
    return [*LABEL_METRICS, *extra]
