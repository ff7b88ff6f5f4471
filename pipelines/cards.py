"""Model cards: what a trained model is, what it learnt from, how wrong it is, and what it must not be used for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kilowait.files.atomic import write_text
from kilowait.predict.device_model.calibration import Calibration
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.probe.bundle import Bundle

CARD = "MODEL_CARD.md"
UNKNOWN = "not measured"


def write_card(folder: Path, text: str) -> None:
    """Write the card beside its model, at once or not at all."""
    write_text(folder / CARD, text)


def device_card(
    model: DeviceModel, version: str, training: Mapping[str, Any], calibration: Calibration, overhead: str = UNKNOWN
) -> str:
    """The card of a device model; `overhead` is what a benchmark says of the time a prediction takes."""
    errors = training["out_of_fold"]
    labels = sum(training["labels"].values())
    intervals = (
        f"90% intervals: residuals out of fold in units of the model's own sigma, quantiles at 5% and 95% "
        f"({calibration.measured.low:+.2f} to {calibration.measured.high:+.2f} sigma on types of training, "
        f"{calibration.new.low:+.2f} to {calibration.new.high:+.2f} on new ones, {calibration.measured.programs} "
        f"programs). Coverage with the quantiles of the other folds: {errors['measured']['coverage90']:.1%} and "
        f"{errors['new']['coverage90']:.1%}. Where a dry run is not whole but has seen an optimizer step "
        f"both ends move out by a factor of {calibration.partial_factor:g} (from dry runs of generated scripts that "
        "were cut short, not from measured times); without such a step nothing is predicted."
    )
    return _card(
        f"Device model {version}",
        {
            "What it is": "Run time of a PyTorch program on a GPU type, from the operations of a dry run and the "
            "type's specification sheet: a roofline for every operation, corrected by efficiencies that are learned "
            "as Gaussian processes through the run times of whole programs (kilowait/predict/device_model). Power "
            "and several GPUs are models without measurements of single operations (power.py, scaling.py).",
            "Features": f"{len(model.marks.group)} distinct operations (class, operator, shape); of a device type its "
            f"published sheet. Fitted on {', '.join(d.name for d in model.devices)}.",
            "Data and licence": f"{training['source']}. Licence: {training['licence']}. {training['programs']} "
            f"programs, {labels} measured run times ({training['left_out']} programs left out, having no whole dry "
            f"run). No text of a program is in the model. SHA-256 of the labels: `{training['labels_sha256']}`.",
            "Errors out of fold": "Programs that the model has not seen, nor versions of them, "
            f"{training['folds']} folds:\n\n{_errors(errors['measured'])}\n\nThe same where the device type has not "
            f"been seen either, {training['new_type_folds']} folds:\n\n{_errors(errors['new'])}",
            "Coverage": intervals,
            "Overhead": f"Time that a prediction takes: {overhead}.",
            "Limits": (FORWARD if training["style"] == "kernelbench" else SCRIPTS) + LIMITS,
        },
    )


def steps_card(
    model: DeviceModel, version: str, training: Mapping[str, Any], calibration: Calibration, overhead: str = UNKNOWN
) -> str:
    """The card of a device model of measured steps."""
    labels, scores = sum(training["labels"].values()), training["scores"]
    head = ["what was left out", "steps", "median error", "mean error", "predicted / measured", "coverage", "width"]
    body = [
        [
            s["group"].replace("|", "-"), str(s["n"]), f"{s['median_error']:.1%}", f"{s['mean_error']:.1%}",
            f"{s['bias']:.2f}", f"{s['coverage']:.1%}", f"{s['width']:.2f}x",
        ]
        for s in scores
    ]  # fmt: skip
    sources = ", ".join(f"{name} ({n})" for name, n in training["by_source"].items())
    return _card(
        f"Device model {version}",
        {
            "What it is": STEPS_MODEL,
            "Features": f"{len(model.marks.group)} works (class, operator, variant, shape); of a device type its "
            f"published sheet. Fitted on {', '.join(sorted({d.name for d in model.devices}))}.",
            "Data and licence": f"{labels} times, measured by their sources: {sources}. Licence: "
            f"{training['licence']}. {training['programs']} programs of {len(training['families'])} families, a seeded "
            f"selection (seed {training['seed']}). SHA-256 of the labels: `{training['labels_sha256']}`.",
            "Errors of what was left out": "Predicted as a user asks, without what is the source's own unless a row "
            f"says so. Folds: {training['folds']['family']} of families, {training['folds']['type']} of GPU types, "
            f"each source by itself.\n\n{_table(head, body)}",
            "Coverage": "90% intervals: quantiles of those errors where the source was left out, moved out until, in "
            "the mean over sources, they would have held by the others, and for new types also where the type was, in "
            f"units of the model's own doubt ({calibration.measured.low:+.2f} to {calibration.measured.high:+.2f} on "
            f"types of training, {calibration.new.low:+.2f} to {calibration.new.high:+.2f} on new ones). In the table "
            "those of a family are from errors of other families, those of a source from other sources, those of a "
            "type from other types and sources. Where a dry run is not whole but has seen an optimizer step both ends "
            f"move out by a factor of {calibration.partial_factor:g}.",
            "Overhead": f"Time that a prediction takes: {overhead}.",
            "Limits": LIMITS,
        },
    )


STEPS_MODEL = """\
Seconds of a PyTorch program on a GPU type, modelled from the operations of a dry run and the type's specification \
sheet: a roofline for every operation, corrected by efficiencies that are learned as Gaussian processes through \
measured times of whole steps and single operators. Forward and backward passes, float32, TF32 and half precision, \
both memory formats. What is a source's own (its hosts, versions, ways of measuring) is learned apart, and no user is \
taken to share it; what the hosts of a type's boards have in common, whoever owns them, is told of that type."""
FORWARD = """\
- The run times it learnt from are single forward passes of small programs in float32, timed warm. \
Training scripts are an extrapolation: backward passes, optimizers, mixed precision and long runs were not measured, \
and the coverage above does not speak for them.
"""
SCRIPTS = """\
- The run times it learnt from are whole processes, start of the interpreter included, on one machine; another \
machine's device types of the same names need labels of their own.
- A new type above is one of the same machine that was left out: with few types in training that error says little \
about others.
"""
LIMITS = """\
- Not counted: start of the interpreter and of CUDA, compilation, reading data, work on the host's CPU that is no \
operator launch, and contention.
- A dry run takes every branch that its inputs without data lead to; what depends on values is a guess.
- Energy is modelled (no board's energy is in the training) and has no interval. Several GPUs are modelled.
- Peak memory is what tensors take at once, without the allocator's overhead and CUDA's own share."""


def probe_card(bundle: Bundle, version: str, overhead: str = UNKNOWN) -> str:
    """The card of a bundle of probes."""
    training, features = bundle.training, bundle.features
    feature_lines = "\n".join(
        f"- model {f.model}, revision {f.revision}, layer {f.layer} ({f.norm}), pooling {f.pooling}" for f in features
    )
    first_probe = next(iter(bundle.metrics.values())).probe
    label_lines = "\n".join(
        f"- {metric}: labels {', '.join(f'{kind} on {device}' for device, kind in part.provenance.items())}; "
        f"from {part.label_range[0]:.4g} to {part.label_range[1]:.4g}"
        for metric, part in bundle.metrics.items()
    )
    return _card(
        f"Probes {version}",
        {
            "What it is": f"Metrics of a program on {', '.join(bundle.device_types)}, read off the embedding of its "
            f"source by probes of kind {first_probe.config.kind} (kilowait/predict/probe/probe.py).",
            "Features": f"{feature_lines}\n- dimension {first_probe.inputs} in all, side by side",
            "Data": f"{training.get('labels', UNKNOWN)} labels of {training.get('scripts', UNKNOWN)} scripts in "
            f"{training.get('groups', UNKNOWN)} groups. SHA-256 of the labels: "
            f"`{training.get('labels_sha256', UNKNOWN)}`.\n\n{label_lines}",
            "Errors": _accuracy(bundle.accuracy.get("rows", ())),
            "Coverage": _coverage(bundle),
            "Overhead": f"Time that a prediction takes: {overhead}.",
            "Limits": "- A prediction stays within 10 times the range of the labels.\n"
            "- It knows the kinds of programs it was trained on; the error on a kind it has not seen is that of "
            "the split by group.\n- A metric whose labels are estimates is no better than they are, and no error is "
            "reported for it.\n- It says nothing of device types that are not named above.",
        },
    )


def _coverage(bundle: Bundle) -> str:
    """What the 90% intervals held out of fold."""
    if bundle.doubt is None:
        return "It gives no intervals."
    lines = [
        f"- {metric}: {kinds['known']:.1%} for programs of families it knows, {kinds['new']:.1%} for families left out"
        for metric, kinds in bundle.accuracy["coverage90"].items()
    ]
    return (
        "Of 90% intervals, with quantiles of residuals from the other folds:\n\n" + "\n".join(lines) + "\n\nA program "
        "whose embedding lies farther from every family than 95% of held-out programs do from theirs gets the wider "
        "intervals of new kinds."
    )


def _card(title: str, sections: Mapping[str, str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"## {head}\n\n{text}\n" for head, text in sections.items())


def _errors(scores: Mapping[str, Any]) -> str:
    rows = {"all": scores, **scores["by_type"]}
    body = [
        [
            name,
            str(r["n"]),
            f"{r['mdape']:.1%}",
            f"{r['mape']:.1%}",
            "-" if r["r2_log"] is None else f"{r['r2_log']:.3f}",
        ]
        for name, r in rows.items()
    ]
    return _table(["device type", "labels", "median error", "mean error", "R2 of log time"], body)


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return UNKNOWN
    body = [
        [
            str(r["metric"]),
            str(r["split"]),
            str(r["device_type"]),
            str(r["n"]),
            f"{r['median_ape']:.1%}",
            _r2(r["r2_log"]),
        ]
        for r in rows
    ]
    return _table(["metric", "split", "device type", "labels", "median error", "R2 of log"], body)


def _r2(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)
