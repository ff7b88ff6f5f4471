"""Files of tokens that are not there, as tiktoken and sentencepiece read them: the vocabulary has its size, a text
about as many tokens as it would have. What the tokens of a text are means nothing.
"""

from __future__ import annotations

import os
import re
import zlib
from functools import wraps
from typing import Any

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.tokenizers import DEFAULT_VOCABULARY, PIECES

PUBLISHED_RANKS = {
    "vocab.bpe": 50_256,
    "r50k_base.tiktoken": 50_256,
    "p50k_base.tiktoken": 50_280,
    "cl100k_base.tiktoken": 100_256,
    "o200k_base.tiktoken": 199_998,
}
"""Tokens without the special ones in the files of tiktoken's own encodings (tiktoken, openai_public.py)."""
SPECIAL_OF_LLAMA_3 = 256
"""So many of the vocabulary of Llama 3 are special tokens, which its file does not hold (its model card)."""
_PATHS = ("tiktoken_bpe_file", "vocab_bpe_file")
"""What tiktoken calls the file that it is given."""
_PIECES = re.compile(PIECES)


def stand_in_token_files(hooks: ImportHooks, absent: Absent) -> None:
    """Let files of tokens be read that are not there."""
    hooks.after("tiktoken.load", lambda module: _reading_ranks(module, absent))
    hooks.after("tiktoken.core", _encoding)
    hooks.after("sentencepiece", lambda module: _processing(module, absent))


class Ranks(dict):
    """The tokens of a file that is not there, by their numbers."""

    def __init__(self, count: int) -> None:
        super().__init__((f"t{number}".encode(), number) for number in range(count))


class Pieces:
    """A vocabulary of `count` tokens, of which a text has one for up to five letters of a word."""

    def __init__(self, count: int, special: dict[str, int] | None = None) -> None:
        self.count, self.special = count, special or {}

    def pieces(self, text: str) -> list[str]:
        """The parts of a text that are a token each."""
        return [found.group() for found in _PIECES.finditer(text)]

    def number(self, piece: Any) -> int:
        """The number of a part of a text; equal parts have equal ones."""
        text = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else str(piece)
        return self.special.get(text, 3 + zlib.crc32(text.encode("utf-8", "replace")) % max(1, self.count - 3))

    def numbers(self, text: str) -> list[int]:
        """The tokens of a text."""
        return [self.number(piece) for piece in self.pieces(text)]


def _reading_ranks(module: Any, absent: Absent) -> None:
    def either(real: Any) -> Any:
        @wraps(real)
        def ranks(*args: Any, **kwargs: Any) -> Any:
            path = args[0] if args else next(kwargs[name] for name in _PATHS if name in kwargs)
            count = None if os.path.lexists(path) else _ranks_of(absent, str(path))
            return real(*args, **kwargs) if count is None else Ranks(count)

        return ranks

    for name in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        setattr(module, name, either(getattr(module, name)))


def _ranks_of(absent: Absent, path: str) -> int | None:
    """How many tokens such a file has; None where it is no data that may be stood in for."""
    count = PUBLISHED_RANKS.get(path.rpartition("/")[2])
    if count is not None:
        absent.recorder.assume(f"{absent.shown(path)} has {count:,} tokens (catalogue)", "catalogue")
        return count
    if not absent.stands_in(path):
        return None
    return _vocabulary_of(absent, path, SPECIAL_OF_LLAMA_3)


def _vocabulary_of(absent: Absent, path: str, special: int = 0) -> int:
    """The vocabulary of the published model in whose folder a file would lie, else a default; says so."""
    folder = os.path.dirname(path)
    for place in (folder, os.path.dirname(folder)):
        found = published_facts.model(place) if place else None
        count = found and (found[1].get("tokens") or found[1].get("config", {}).get("vocab_size"))
        if found and count:
            told = f"{absent.shown(path)} has {count - special:,} tokens, as the model of that name"
            absent.recorder.assume(f"{told} (catalogue, not checked)", "modelled")
            return int(count) - special
    absent.default(f"{absent.shown(path)} has {DEFAULT_VOCABULARY:,} tokens")
    return DEFAULT_VOCABULARY


def _encoding(module: Any) -> None:
    real = module._tiktoken.CoreBPE

    def core(ranks: Any, special: dict[str, int], pattern: str) -> Any:
        return Core(len(ranks), dict(special)) if isinstance(ranks, Ranks) else real(ranks, special, pattern)

    module._tiktoken = _With(module._tiktoken, CoreBPE=core)


class _With:
    """A module of which some names are others."""

    def __init__(self, module: Any, **others: Any) -> None:
        self.__dict__.update(others)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Core(Pieces):
    """What tiktoken's encodings ask, for a file of tokens that is not there."""

    def encode(self, text: str, allowed_special: Any = ()) -> list[int]:
        """The tokens of a text in which special ones may stand."""
        allowed = sorted((name for name in allowed_special if name in text), key=len, reverse=True)
        if not allowed:
            return self.numbers(text)
        parts = re.split(f"({'|'.join(map(re.escape, allowed))})", text)
        return [n for part in parts for n in ([self.special[part]] if part in allowed else self.numbers(part))]

    def encode_ordinary(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self.numbers(text)

    def encode_single_piece(self, piece: bytes) -> list[int]:
        """The tokens of a part of a text."""
        return self.numbers(piece.decode("utf-8", "replace"))

    _encode_bytes = encode_single_piece

    def encode_single_token(self, token: Any) -> int:
        """The number of a token."""
        return self.number(token)

    def encode_to_tiktoken_buffer(self, text: str, allowed_special: Any = ()) -> bytes:
        """The tokens of a text as four bytes each."""
        return b"".join(number.to_bytes(4, "little") for number in self.encode(text, allowed_special))

    def decode_bytes(self, tokens: Any) -> bytes:
        """A text that has so many tokens."""
        return b" ".join(b"word" for _ in tokens)

    def decode_single_token_bytes(self, _token: int) -> bytes:
        """A token's text."""
        return b" word"

    def token_byte_values(self) -> list[bytes]:
        """The texts of all tokens."""
        return [b" word"] * self.count


def _processing(module: Any, absent: Absent) -> None:
    real = module.SentencePieceProcessor

    class SentencePieceProcessor(real):  # type: ignore[misc,valid-type]
        """The library's own, which is another once it has read a file that is not there."""

        def LoadFromFile(self, path: Any) -> Any:  # noqa: N802 - the library's name
            if not absent.stands_in(path):
                return real.LoadFromFile(self, path)
            self.__class__ = Stand
            self._pieces = Pieces(_vocabulary_of(absent, str(path)))
            return True

        load_from_file = LoadFromFile

    class Stand(Processor, SentencePieceProcessor):
        """One that has read a file which is not there."""

    module.SentencePieceProcessor = SentencePieceProcessor


class Processor:
    """What sentencepiece's processor is asked, by both spellings of its names."""

    _pieces: Pieces
    _add_bos = _add_eos = False

    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self._pieces.count

    piece_size = get_piece_size = GetPieceSize = __len__ = vocab_size

    def unk_id(self) -> int:
        """As sentencepiece numbers them when nothing else is said."""
        return 0

    def bos_id(self) -> int:
        """The beginning of a text."""
        return 1

    def eos_id(self) -> int:
        """The end of a text."""
        return 2

    def pad_id(self) -> int:
        """There is none."""
        return -1

    def Encode(  # noqa: N802 - the library's name
        self,
        input: Any,  # noqa: A002 - the library's name
        out_type: Any = int,
        add_bos: Any = None,
        add_eos: Any = None,
        **_: Any,
    ) -> Any:
        """The tokens of a text, or of each of several."""
        if isinstance(input, (list, tuple)):
            return [self.Encode(text, out_type, add_bos, add_eos) for text in input]
        text = input.decode() if isinstance(input, bytes) else str(input)
        found: list[Any] = self._pieces.pieces(text) if out_type is str else self._pieces.numbers(text)
        first, last = ("<s>", "</s>") if out_type is str else (1, 2)
        begins = self._add_bos if add_bos is None else add_bos
        ends = self._add_eos if add_eos is None else add_eos
        return [*([first] if begins else []), *found, *([last] if ends else [])]

    encode = tokenize = Tokenize = EncodeAsIds = encode_as_ids = Encode

    def EncodeAsPieces(self, input: Any, **kwargs: Any) -> Any:  # noqa: A002, N802 - the library's name
        """The texts of the tokens."""
        return self.Encode(input, str, **kwargs)

    encode_as_pieces = EncodeAsPieces

    def Decode(self, input: Any, *_: Any, **__: Any) -> Any:  # noqa: A002, N802 - the library's name
        """A text that has so many tokens."""
        if isinstance(input, (list, tuple)) and input and isinstance(input[0], (list, tuple)):
            return [self.Decode(tokens) for tokens in input]
        return " ".join("word" for _ in (input if hasattr(input, "__len__") else [input]))

    decode = detokenize = Detokenize = DecodeIds = decode_ids = DecodePieces = decode_pieces = Decode

    def IdToPiece(self, number: Any) -> Any:  # noqa: N802 - the library's name
        """A token's text."""
        if isinstance(number, (list, tuple)):
            return [self.IdToPiece(one) for one in number]
        return {0: "<unk>", 1: "<s>", 2: "</s>"}.get(number, f"t{number}")

    id_to_piece = __getitem__ = IdToPiece

    def PieceToId(self, piece: Any) -> Any:  # noqa: N802 - the library's name
        """A token's number."""
        if isinstance(piece, (list, tuple)):
            return [self.PieceToId(one) for one in piece]
        return {"<unk>": 0, "<s>": 1, "</s>": 2}.get(piece, self._pieces.number(piece))

    piece_to_id = PieceToId

    def IsControl(self, number: int) -> bool:  # noqa: N802 - the library's name
        """Whether a token is no text."""
        return number in (1, 2)

    is_control = IsControl
