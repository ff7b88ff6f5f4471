"""Ablation of alignment on twins, restyled programs with equal work: kilowait lab alignment --help.

Writes alignment.html, alignment.json (all numbers) and two figures to --out; vectors and rewrites are kept there, so a
killed run resumes.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.files.columns import CORPUS, LABELS, TWINS
from kilowait.files.parquet import read_table
from kilowait.lab.align.chat import KEY_VARIABLE, ChatRewriter
from kilowait.lab.align.local import LocalRewriter
from kilowait.lab.align.rewriter import Rewriter
from kilowait.lab.evaluate.dataset import (
    Dataset,
    embedded_scripts,
    embedding_keys,
    read_embeddings,
    read_study,
    read_texts,
)
from kilowait.predict.embed.features import PAPER_LAST
from kilowait.predict.probe.probe import ProbeConfig
from kilowait.predict.splits import FOLDS, folds
from kilowait.program.source import content_hash, read_source, source_from_bytes

from ..evaluate.answer_cache import AnswerFiles
from ..evaluate.inputs import usable_dry_runs
from ..evaluate.recipes import OWN, parse_recipes
from .alignment_page import heat, terminal_text, write_report
from .methods import BeforeAndAfter, Form, by_recipe, compared, last_token, probed, with_twins
from .twin_scores import TwinTrial, errors, neighbourhood, probe_method
from .variants import KnownStyles, Variant, as_they_are, by_generator, by_rewriter, normalised
from .vectors import embed_missing

EXAMPLE = """\
example:
  kilowait lab twins --corpus out/corpus --count 66 --out out/twins --run
  kilowait lab alignment --labels out/labels/labels.parquet --embeddings out/emb --corpus out/corpus \\
      --twins out/twins --out out/alignment --rewriter local --rewrites 6

Rewriters (--rewriter): none (default), local (a language model on this machine, --model), chat (an endpoint that speaks
the chat completions protocol: --base-url, --model, key in $KILOWAIT_ALIGN_API_KEY). With chat the sources of the
first --rewrites twins and of their nearest known programs leave this machine, secrets redacted.

--dry-runs adds the predictor that kilowait uses: it executes originals and twins on tensors without data and never
reads the text. Its dry runs are kept in .features of --corpus and --twins, its models' answers in --out.

Every twin is predicted by probes that saw neither its original nor any other script with the same work; under
"by family" they saw nothing of its family. Measured run times are the originals': twins do the same work.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentWorld:
    """What is read once: labels, vectors of the known scripts, and twins (T) with their originals' rows."""

    study: Dataset
    config: ProbeConfig
    vectors: dict[str, Tensor]
    texts: list[str]
    works: list[str]
    styles: list[str]
    twins: list[dict[str, Any]]
    twin_texts: list[str]
    original: np.ndarray

    @property
    def x(self) -> Tensor:
        """The default probe's input for every known script (S, d)."""
        return torch.cat([self.vectors[key] for key in self.config.features], 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        run(args)
    except KilowaitError as error:
        print(f"pipelines.alignment: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    return 0


def run(args: argparse.Namespace) -> None:
    """Make every variant of the twins, embed them, predict, and write the report."""
    world = read_world(args)
    trials = {
        "by work": TwinTrial(
            study=world.study, original=world.original, fold=folds(world.works, args.folds, args.seed)
        ),
        "by family": TwinTrial(
            study=world.study, original=world.original, fold=folds(world.study.groups, args.folds, args.seed)
        ),
    }
    x_twins = _vectors(args, world.twin_texts, world.config.features)
    near = neighbourhood(trials["by work"], world.x, x_twins, world.works)
    nearest = [world.study.scripts.index(script) for script in near.nearest]
    variants = [
        as_they_are("originals (what alignment aims at)", [world.texts[i] for i in world.original]),
        as_they_are("twins as they are", world.twin_texts),
        *_by_disguise(world),
        *normalised(world.twin_texts, world.texts if args.train_normalised else None),
        by_generator(
            world.twins,
            world.twin_texts,
            KnownStyles(
                corpus_count=read_table(args.corpus / "manifest.parquet", CORPUS).num_rows,
                corpus_seed=args.corpus_seed,
                nearest_styles=[world.styles[i] for i in nearest],
            ),
        ),
    ]
    rewriter = _rewriter(args)
    if rewriter is not None:
        neighbours = [world.texts[i] for i in nearest]
        variants.append(by_rewriter(rewriter, world.twin_texts, neighbours, args.rewrites, args.out / "rewrites"))
        if args.rewrites is not None:
            variants.append(
                as_they_are(f"the same {args.rewrites} twins as they are", world.twin_texts, variants[-1].judged)
            )
    lines = [_score(args, world, trials, variant) for variant in variants]
    methods, truth = _methods(args, world, trials["by work"], variants), trials["by work"].truth
    table = [
        {"method": name, **errors(truth, answers.twins), "originals": errors(truth, answers.originals)}
        for name, answers in methods.items()
    ]
    twins_by_method = {name: answers.twins for name, answers in methods.items()}
    write_report(args.out, lines, table, twins_by_method, truth, _heat(args, world, variants))
    print(terminal_text(lines, table))


def read_world(args: argparse.Namespace) -> AlignmentWorld:
    """Read labels, vectors, corpus and twins; raises InputError where they do not belong together."""
    study, config = read_study(args.labels), ProbeConfig.default()
    rows = read_table(args.twins / "manifest.parquet", TWINS).to_pylist()
    index_of = {hash_: i for i, hash_ in enumerate(study.scripts)}
    unlabelled = [row["original_path"] for row in rows if row["original"] not in index_of]
    if unlabelled:
        raise InputError(f"{args.twins}: {len(unlabelled)} originals have no label (first: {unlabelled[0]})")
    manifest = {row["content_hash"]: row for row in read_table(args.corpus / "manifest.parquet", CORPUS).to_pylist()}
    keys = [*config.features, *([PAPER_LAST.key] if PAPER_LAST.key in embedding_keys(args.embeddings) else [])]
    return AlignmentWorld(
        study=study,
        config=config,
        vectors=read_embeddings(args.embeddings, keys, study.scripts),
        texts=read_texts(args.corpus, study.scripts),
        works=[f"{manifest[s]['family']} {manifest[s]['hyperparameters']}" for s in study.scripts],
        styles=[manifest[s]["style"] for s in study.scripts],
        twins=rows,
        twin_texts=[read_source(args.twins / row["path"]).text for row in rows],
        original=np.array([index_of[row["original"]] for row in rows]),
    )


def _vectors(args: argparse.Namespace, texts: Sequence[str], keys: Sequence[str]) -> Tensor:
    """The vectors (T, d) of any texts, side by side in the order of `keys`.

    Taken from --embeddings where they are there, else from --out, and computed where they are lacking.
    """
    hashes = [content_hash(text.encode()) for text in texts]
    embedded = embedded_scripts(args.embeddings, keys) & set(hashes)
    to_embed = {hash_: text for hash_, text in zip(hashes, texts, strict=True) if hash_ not in embedded}
    embed_missing(list(to_embed.values()), keys, args.out / "vectors")
    rows: dict[str, Tensor] = {}
    for folder, wanted_hashes in ((args.embeddings, sorted(embedded)), (args.out / "vectors", sorted(to_embed))):
        vectors = read_embeddings(folder, keys, wanted_hashes) if wanted_hashes else {}
        rows |= {hash_: torch.cat([vectors[key][i] for key in keys]) for i, hash_ in enumerate(wanted_hashes)}
    return torch.stack([rows[hash_] for hash_ in hashes])


def _score(
    args: argparse.Namespace, world: AlignmentWorld, trials: dict[str, TwinTrial], variant: Variant
) -> dict[str, Any]:
    """One line of the ablation: errors under both splits, and how far the variant is from what is known."""
    x = world.x if variant.training is None else _vectors(args, variant.training, world.config.features)
    x_variant = _vectors(args, variant.texts, world.config.features)
    line: dict[str, Any] = {"variant": variant.name, "how": variant.how}
    for split, trial in trials.items():
        predicted = trial.predict(probe_method(trial, world.config, x, x_variant, args.seed))
        line[split] = errors(trial.truth[variant.judged], predicted[variant.judged])
        if split == "by work":
            near = neighbourhood(trial, x, x_variant, world.works)
            line["distance"] = float(np.median(near.distance[variant.judged]))
            line["unknown"] = float(near.unknown[variant.judged].mean())
    return {**line, **variant.facts()}


def _by_disguise(world: AlignmentWorld) -> list[Variant]:
    """The twins as they are, those with code that never runs apart: it brings numbers of its own."""
    dead = ["dead code" in twin["disguises"] for twin in world.twins]
    parts = {"without dead code": [not flag for flag in dead], "with dead code": dead}
    return [as_they_are(f"  {name}", world.twin_texts, mask) for name, mask in parts.items() if any(mask)]


def _methods(
    args: argparse.Namespace, world: AlignmentWorld, trial: TwinTrial, variants: Sequence[Variant]
) -> dict[str, BeforeAndAfter]:
    """Ours and what came before; the normaliser is applied to originals and twins alike."""

    def form(texts: Sequence[str]) -> Form:
        return Form(texts=texts, vectors=lambda keys: _vectors(args, texts, keys))

    originals = [world.texts[i] for i in world.original]
    corpus_form, written_forms = form(world.texts), [form(originals), form(world.twin_texts)]
    methods = compared(trial, corpus_form, written_forms, world.config, args.seed)
    if PAPER_LAST.key in world.vectors:
        methods["last token, regression"] = probed(trial, corpus_form, written_forms, last_token(), args.seed)
    for variant in (variant for variant in variants if variant.name.startswith("normalised")):
        heading = "default, both normalised" if variant.training is None else "default, all normalised"
        canonical = [form(normalised(originals, None)[0].texts), form(variant.texts)]
        training_form = corpus_form if variant.training is None else form(variant.training)
        methods[heading] = probed(trial, training_form, canonical, world.config, args.seed)
    if args.dry_runs:
        methods["dry run, device model"] = _by_dry_runs(args, world, trial)
    return methods


def _by_dry_runs(args: argparse.Namespace, world: AlignmentWorld, trial: TwinTrial) -> BeforeAndAfter:
    """kilowait's own recipe, which executes a program on tensors without data and does not read it."""
    twins = [read_source(args.twins / row["path"]) for row in world.twins]
    corpus_sources = [
        source_from_bytes(name, text.encode()) for name, text in zip(world.study.scripts, world.texts, strict=True)
    ]
    runs = usable_dry_runs(args.corpus, corpus_sources, world.study) | usable_dry_runs(args.twins, twins, world.study)
    vectors = {}
    for key in world.config.features:
        rows = [*world.vectors[key], *_vectors(args, world.twin_texts, [key])]
        vectors[key] = dict(zip([source.content_hash for source in (*corpus_sources, *twins)], rows, strict=True))
    originals = {twin.content_hash: row["original"] for twin, row in zip(twins, world.twins, strict=True)}
    labels = read_table(args.labels, LABELS).select(LABELS.names)
    inputs = with_twins(labels, originals, [*world.texts, *world.twin_texts], vectors, runs)
    (recipe,) = parse_recipes(OWN, features=None, seed=args.seed, device="cpu")
    answer_file = AnswerFiles(args.out / ".answers", inputs).of(recipe)
    return by_recipe(trial, inputs, answer_file.recipe, [twin.content_hash for twin in twins])


def _heat(args: argparse.Namespace, world: AlignmentWorld, variants: Sequence[Variant]) -> str:
    by_name = {variant.name: variant for variant in variants}
    forms = {
        "originals": [world.texts[i] for i in world.original],
        "twins": world.twin_texts,
        "restyled by\nthe generator": by_name["restyled by the corpus generator"].texts,
        "normalised\noriginals": normalised([world.texts[i] for i in world.original], None)[0].texts,
        "normalised\ntwins": by_name["normalised, probe trained on originals"].texts,
    }
    key = world.config.features[0]
    return heat(forms, [twin["family"] for twin in world.twins], lambda texts: _vectors(args, texts, [key]))


def _rewriter(args: argparse.Namespace) -> Rewriter | None:
    if args.rewriter == "none":
        return None
    if args.rewriter == "local":
        options = {} if args.model is None else {"model": args.model}
        return LocalRewriter(max_tokens=args.max_tokens, **options)
    if not args.base_url or not args.model:
        raise InputError(f"--rewriter chat needs --base-url and --model (and a key in ${KEY_VARIABLE} if asked for)")
    return ChatRewriter(base_url=args.base_url, model=args.model, max_tokens=args.max_tokens)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(str(__package__), "kilowait lab alignment"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--labels", required=True, type=Path, help="label table (Parquet)")
    add("--embeddings", required=True, type=Path, metavar="DIR", help="embedding shards of the corpus")
    add("--corpus", required=True, type=Path, metavar="DIR", help="the labelled corpus")
    add("--twins", required=True, type=Path, metavar="DIR", help="what kilowait lab twins wrote")
    add("--out", required=True, type=Path, metavar="DIR", help="report, vectors and rewrites go here")
    add("--rewriter", choices=["none", "local", "chat"], default="none", help="see below (default: none)")
    add("--base-url", metavar="URL", help="of the chat endpoint, like https://host/v1")
    add("--model", help="the rewriter's model (local default: the embedded one)")
    add("--max-tokens", type=int, default=2048, help="longest answer of a rewriter (default: 2048)")
    add("--rewrites", type=int, metavar="N", help="ask the rewriter for the first N twins only")
    add(
        "--dry-runs", action="store_true", help="also predict by dry runs and the device model (minutes; kept in --out)"
    )
    add("--train-normalised", action="store_true", help="also train on the normalised corpus (embeds all of it)")
    add("--corpus-seed", type=int, default=0, help="the corpus's --seed (default: 0)")
    add("--folds", type=int, default=FOLDS, help="folds of both splits (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the folds (default: 0)")
    return parser
