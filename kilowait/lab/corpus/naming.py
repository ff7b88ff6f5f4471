"""What one script calls its hyperparameters, its state and its loop variables."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kilowait.lab.corpus.lexer import substitute

HYPERPARAMETERS: Mapping[str, tuple[str, ...]] = {
    "batch": ("batch_size", "batch", "bs", "batch_size"),
    "batch_size": ("batch_size", "batch", "bs", "batch_size"),
    "steps": ("steps", "num_steps", "iterations", "max_steps", "n_iters", "total_steps"),
    "lr": ("lr", "learning_rate", "base_lr"),
    "layers": ("layers", "depth", "num_layers", "n_layers"),
    "depth": ("depth", "num_layers", "n_layers"),
    "width": ("width", "hidden", "base_width"),
    "hidden": ("hidden", "hidden_size", "width", "n_hidden"),
    "heads": ("heads", "num_heads", "n_heads"),
    "classes": ("classes", "num_classes", "n_classes"),
    "image": ("image_size", "img_size", "resolution"),
    "channels": ("channels", "base_channels", "n_channels"),
    "latent": ("latent", "latent_dim", "z_dim"),
    "dim": ("dim", "embed_dim", "d_model", "model_dim"),
    "d_model": ("d_model", "embed_dim", "model_dim"),
    "samples": ("samples", "num_samples", "n_samples", "dataset_size"),
    "vocab": ("vocab", "vocab_size", "n_tokens"),
    "length": ("length", "seq_len", "sequence_length", "context"),
    "seq_len": ("seq_len", "sequence_length", "max_len"),
    "frames": ("frames", "num_frames", "clip_length"),
    "patch": ("patch", "patch_size"),
    "weight_decay": ("weight_decay", "wd"),
    "log_every": ("log_every", "print_every", "report_every", "log_interval"),
    "seed": ("seed", "random_seed"),
    "clip": ("clip", "max_norm", "grad_clip"),
    "warmup": ("warmup", "warmup_steps"),
}
"""What a hyperparameter may be called; the first is the plainest."""

STATE: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "net", "network", "model"),
    "optimizer": ("optimizer", "opt", "optimizer"),
    "criterion": ("criterion", "loss_fn", "loss_function"),
    "images": ("images", "inputs", "train_x", "data"),
    "labels": ("labels", "targets", "train_y"),
    "data": ("data", "dataset", "samples"),
    "scheduler": ("scheduler", "lr_schedule", "sched"),
    "generator": ("generator", "gen", "G"),
    "discriminator": ("discriminator", "disc", "D"),
    "encoder": ("encoder", "enc", "backbone"),
    "decoder": ("decoder", "dec"),
}
"""What a piece of state may be called."""

EVERYWHERE: Mapping[str, tuple[str, ...]] = {
    "ResidualBlock": ("ResidualBlock", "ResBlock", "BasicBlock"),
    "ConvBlock": ("ConvBlock", "ConvUnit", "Stage"),
    "stem": ("stem", "entry", "first"),
    "head": ("head", "classifier", "top"),
    "shortcut": ("shortcut", "skip_path", "identity_path"),
    "blocks": ("blocks", "stages", "stack"),
    "make_images": ("make_images", "synthetic_images", "random_images", "fake_images"),
    "make_data": ("make_data", "synthetic_data", "build_dataset", "fake_data"),
    "make_batch": ("make_batch", "sample_batch", "random_batch"),
    "accuracy": ("accuracy", "top1", "top1_accuracy"),
    "logits": ("logits", "scores", "preds"),
    "planes": ("planes", "n_out", "c_out"),
    "hidden": ("hidden", "inner", "units"),
    "picked": ("picked", "idx", "chosen"),
}
"""Identifiers of families that a script renames throughout; none of them is an argument of PyTorch."""

LOOP: Mapping[str, tuple[str, ...]] = {
    "loss": ("loss", "loss", "objective", "total_loss", "cost"),
    "step": ("step", "step", "it", "iteration", "i"),
}
"""The locals that every training step has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names one script uses: hyperparameters, state, loop variables and renamed identifiers."""

    hyper: Mapping[str, str]
    state: Mapping[str, str]
    loop: Mapping[str, str]
    everywhere: Mapping[str, str]

    def apply(self, code: str, *, hyper: str, state: str, loop: bool = True) -> str:
        """`code` under these names; `hyper` and `state` are format strings such as "args.{}".

        `loop` renames the locals of a training step too, which definitions must not have.
        """

        def other(name: str, before: str, after: str) -> str:
            if loop and name in self.loop:
                keyword = after.startswith("=") and not after.startswith("==")
                return name if before == "." or keyword else self.loop[name]
            return self.everywhere.get(name, name)

        return substitute(
            code,
            hyper=lambda name: hyper.format(self.hyper[name]),
            state=lambda name: state.format(self.state[name]),
            other=other,
        )


def choose_names(
    rng: random.Random, *, hyper: Iterable[str], state: Iterable[str], taken: set[str], shared: bool
) -> Names:
    """Draw names that clash neither with one another nor with `taken`, the identifiers already in the code.

    `shared` says that hyperparameters and state live in one place (attributes of one class) and must differ.
    """
    loop = _distinct(rng, LOOP, LOOP, taken - set(LOOP))
    reserved = taken | set(loop.values())
    everywhere: dict[str, str] = {}
    for name in [word for word in EVERYWHERE if word in taken]:
        # A name may stay as it is but never become one that the code already uses.
        everywhere[name] = _pick(rng, EVERYWHERE[name], (reserved | set(everywhere.values())) - {name})
    reserved |= set(everywhere.values())
    state_names = _distinct(rng, STATE, state, reserved)
    hyper_names = _distinct(rng, HYPERPARAMETERS, hyper, set(state_names.values()) if shared else set())
    return Names(hyper=hyper_names, state=state_names, loop=loop, everywhere=everywhere)


def _distinct(
    rng: random.Random, options: Mapping[str, tuple[str, ...]], names: Iterable[str], taken: set[str]
) -> dict[str, str]:
    new_names: dict[str, str] = {}
    for name in names:
        new_names[name] = _pick(rng, options.get(name, (name,)), taken | set(new_names.values()))
    return new_names


def _pick(rng: random.Random, options: tuple[str, ...], taken: set[str]) -> str:
    free = [option for option in options if option not in taken]
    return rng.choice(free) if free else f"{options[0]}_all"
