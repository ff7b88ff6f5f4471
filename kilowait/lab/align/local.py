"""A rewriter that is a language model on this machine: nothing leaves it.

The embedded SmolLM2-135M-Instruct runs, and is far too small for the task; a folder or name of a larger instruct model
takes its place.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from kilowait.core.errors import InputError
from kilowait.lab.align.rewriter import SYSTEM, Ask, RewriteError, prompt
from kilowait.predict.embed.language_model import best_dtype, locate_model
from kilowait.predict.embed.packaged_model import DEFAULT_MODEL


@dataclass(slots=True, kw_only=True)
class LocalRewriter:
    """Greedy decoding of at most `max_tokens` tokens; loaded at the first use."""

    model: str = DEFAULT_MODEL
    revision: str | None = None
    max_tokens: int = 2048
    _loaded: tuple[Any, Any, int] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be >= 1, got {self.max_tokens!r}")

    @property
    def name(self) -> str:
        """Model and the most tokens it writes."""
        return f"{self.model}@{self.revision or 'installed'}, {self.max_tokens} tokens"

    def rewrite(self, ask: Ask) -> str:
        """The model's answer; raises RewriteError where prompt and answer do not fit its context."""
        model, tokenizer, context = self._load()
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(ask)}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        prompt_tokens = inputs["input_ids"].shape[1]
        if prompt_tokens + self.max_tokens > context:
            raise RewriteError(
                f"{self.model}: a prompt of {prompt_tokens} tokens and {self.max_tokens} to write exceed its "
                f"{context}; use a model with a longer context or a smaller max_tokens"
            )
        with torch.inference_mode():
            output = model.generate(
                **inputs.to(model.device),
                max_new_tokens=self.max_tokens,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
            )
        return str(tokenizer.decode(output[0, prompt_tokens:], skip_special_tokens=True))

    def _load(self) -> tuple[Any, Any, int]:
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            location = locate_model(self.model, self.revision)
            model = AutoModelForCausalLM.from_pretrained(location.path, dtype=best_dtype(), local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(location.path, local_files_only=True)
            model.train(False)
            self._loaded = (model, tokenizer, location.context)
        return self._loaded
