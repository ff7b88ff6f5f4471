"""Comments and docstrings: how much one script explains, in which words."""

import ast
import random
import re
from collections.abc import Sequence

from kilowait.lab.corpus.lexer import lex

_REMARKS: Sequence[tuple[str, tuple[str, ...]]] = (
    (r"S\.\w+\.zero_grad\(", ("reset gradients", "clear old gradients", "zero the gradients")),
    (r"\w+\.backward\(\)", ("backward pass", "backpropagate", "compute gradients")),
    (r"torch\.nn\.utils\.clip_grad_norm_", ("keep gradients bounded", "clip to a maximum norm")),
    (r"S\.scheduler\.step\(\)", ("advance the schedule", "next learning rate")),
    (r"S\.\w+\.step\(\)", ("update the weights", "optimizer step", "apply the update")),
    (r"S\.\w+ = (torch\.)?optim\.[A-Z]", ("optimizer", "set up the optimizer")),
    (r"S\.\w*schedule\w* = ", ("learning-rate schedule", "schedule for the learning rate")),
    (r"S\.model = ", ("the model", "build the network", "create the model on the device")),
    (r"with torch\.(no_grad|inference_mode)\(\)", ("no gradients needed here", "inference only")),
    (r"loss = ", ("compute the loss", "objective of this step", "loss on this batch")),
    (r"summary = ", ("number to report", "summary of the run")),
    (r"started = ", ("time the loop",)),
    (r"if step %|if \(step", ("report progress", "log now and then")),
    (r"picked = |\w+ = torch\.randint\(", ("pick a random batch", "sample indices")),
    (r"S\.(images|data|inputs|\w*tokens\w*|\w*data\w*) = ", ("synthetic data", "random inputs", "made-up data set")),
)


def annotate(code: str, rng: random.Random, chance: float) -> str:
    """`code` with remarks before some statements it recognises; each with the given chance."""
    lines = code.split("\n")
    starts = {node.lineno - 1 for node in ast.walk(ast.parse(code)) if isinstance(node, ast.stmt)} if chance else set()
    out: list[str] = []
    for number, line in enumerate(lines):
        stripped = line.strip()
        commented = bool(out) and out[-1].strip().startswith("#")
        if number in starts and not commented:
            words = next((w for pattern, w in _REMARKS if re.match(pattern, stripped)), None)
            if words and rng.random() < chance:
                text = rng.choice(words)
                out.append(f"{line[: len(line) - len(stripped)]}# {text[0].upper() + text[1:]}")
        out.append(line)
    return "\n".join(out)


def strip_comments(code: str) -> str:
    """`code` without comments, and without the lines that held nothing else."""
    marked_code = "".join("\0" if kind == "comment" else text for kind, text in lex(code))
    return "\n".join(line.replace("\0", "").rstrip() for line in marked_code.split("\n") if line.strip() != "\0")


def strip_docstrings(code: str) -> str:
    """`code` without the docstrings of its classes and functions."""
    lines = code.split("\n")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            last = first.end_lineno or first.lineno
            lines[first.lineno - 1 : last] = ["\0"] * (last - first.lineno + 1)
            if last < len(lines) and not lines[last].strip():
                lines[last] = "\0"  # the blank line between a class's docstring and its first method
    return "\n".join(line for line in lines if line != "\0")
