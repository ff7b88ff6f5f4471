"""Tokenizers that are not there: the right vocabulary and special tokens, and about as many tokens as a text has.

A token is up to five letters of a word, which comes to the 4 to 5 letters a token that vocabularies of this size have
on English text. The numbers of the tokens mean nothing.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.published_facts import certainty
from kilowait.predict.dryrun.standins.weights.published import Published

PIECES = r"\s?\w{1,5}|\s?[^\w\s]|\s"
_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"}
_T5 = {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
_LLAMA = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}
_GPT = {"eos": "<|endoftext|>", "bos": "<|endoftext|>", "unk": "<|endoftext|>"}
_KINDS: dict[str, tuple[dict[str, str], str, str]] = {
    "bert": (_BERT, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": (_ROBERTA, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "t5": (_T5, "$A </s>", "$A </s> $B </s>"),
    "llama": (_LLAMA, "<s> $A", "<s> $A <s> $B"),
    "gpt2": (_GPT, "$A", "$A $B"),
    "clip": ({**_GPT, "pad": "<|endoftext|>", "bos": "<|startoftext|>"}, "<|startoftext|> $A <|endoftext|>",
             "<|startoftext|> $A <|endoftext|> $B <|endoftext|>"),
    "qwen2": ({"eos": "<|endoftext|>", "pad": "<|endoftext|>", "unk": "<|endoftext|>"}, "$A", "$A $B"),
}  # fmt: skip
_OF_TYPE = {
    **dict.fromkeys(
        ["bert", "distilbert", "electra", "mobilebert", "deberta", "deberta-v2", "albert", "modernbert", "layoutlm"],
        "bert",
    ),
    **dict.fromkeys(
        ["roberta", "xlm-roberta", "mpnet", "longformer", "big_bird", "bart", "mbart", "led", "camembert"], "roberta"
    ),
    **dict.fromkeys(["t5", "mt5", "pegasus", "marian", "m2m_100", "xlnet", "umt5"], "t5"),
    **dict.fromkeys(["llama", "mistral", "mixtral", "gemma", "gemma2", "gemma3_text", "phi3"], "llama"),
    **dict.fromkeys(["clip", "siglip", "clip_text_model"], "clip"),
    **dict.fromkeys(["qwen2", "qwen3", "qwen3_moe"], "qwen2"),
}
_FILES = "tokenizer.json tokenizer.model vocab.txt vocab.json spiece.model sentencepiece.bpe.model source.spm"
_NO_TYPES = ("distilbert", "modernbert", "mpnet")
_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
DEFAULT_VOCABULARY = 32_000


def stand_in_tokenizers(hooks: ImportHooks, published: Published) -> None:
    """Replace `from_pretrained` of tokenizers where their files are not there."""
    hooks.after(
        "transformers.tokenization_utils_base", lambda module: _reading(module.PreTrainedTokenizerBase, published)
    )
    hooks.after("transformers.models.auto.tokenization_auto", lambda module: _reading(module.AutoTokenizer, published))


def _reading(owner: Any, published: Published) -> None:
    real = owner.from_pretrained.__func__

    def from_pretrained(cls: Any, pretrained_model_name_or_path: Any = None, *args: Any, **kwargs: Any) -> Any:
        name = pretrained_model_name_or_path
        found = published.entry(name)
        if found is None or published.is_here(name, kwargs.get("subfolder"), _FILES):
            return real(cls, name, *args, **kwargs)
        return _instead(published, name, kwargs, *found)

    owner.from_pretrained = classmethod(from_pretrained)


def _instead(published: Published, name: Any, kwargs: dict[str, Any], known: str, facts: dict[str, Any]) -> Any:
    """A tokenizer for a model of the catalogue."""
    config = facts.get("config") or facts["parts"].get(kwargs.get("subfolder") or "tokenizer", {})
    kind = config.get("kind") or _OF_TYPE.get(config.get("model_type", ""), "gpt2")
    count = facts.get("tokens") or config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    count = count or DEFAULT_VOCABULARY
    mark, how = certainty(facts, "tokens") if "tokens" in facts else certainty(facts)
    published.recorder.assume(
        f"tokenizer of {known}: {count:,} tokens, one for up to five letters of a word ({mark})", how
    )
    return made(kind, int(count), config, kwargs, str(name))


def made(kind: str, count: int, config: dict[str, Any], kwargs: dict[str, Any], name: str) -> Any:
    """A tokenizer of the library's own class."""
    special = _KINDS[kind][0]
    options = {f"{role}_token": token for role, token in special.items()}
    for option in (
        "padding_side",
        "truncation_side",
        "pad_token",
        "model_max_length",
        "eos_token",
        "bos_token",
        "unk_token",
    ):
        if kwargs.get(option) is not None:
            options[option] = kwargs[option]
    longest = (
        config.get("model_max_length") or config.get("max_position_embeddings") or config.get("n_positions") or 512
    )
    options.setdefault("model_max_length", longest - 2 if config.get("type_vocab_size") == 1 else longest)
    tokenizer = import_module("transformers").PreTrainedTokenizerFast(
        tokenizer_object=_backend(kind, count), name_or_path=name, **options
    )
    tokenizer.chat_template = _CHAT
    has_types = kind == "bert" and config.get("model_type") not in _NO_TYPES
    tokenizer.model_input_names = ["input_ids", *(["token_type_ids"] if has_types else []), "attention_mask"]
    return tokenizer


@lru_cache(maxsize=8)
def _vocabulary(kind: str, count: int) -> dict[str, int]:
    special = list(dict.fromkeys(_KINDS[kind][0].values()))
    at_end = kind in ("gpt2", "clip", "qwen2")
    words = [f"t{number}" for number in range(max(0, count - len(special)))]
    return {token: number for number, token in enumerate([*words, *special] if at_end else [*special, *words])}


def _backend(kind: str, count: int) -> Any:
    library = import_module("tokenizers")
    special, single, pair = _KINDS[kind]
    vocabulary = _vocabulary(kind, count)
    tokenizer = library.Tokenizer(library.models.WordLevel(vocabulary, unk_token=special["unk"]))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(PIECES), "isolated")
    used = [(token, vocabulary[token]) for token in dict.fromkeys(special.values()) if token in single]
    tokenizer.post_processor = library.processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)
    return tokenizer
