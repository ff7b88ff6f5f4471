"""Embeddings equal a plain transformers computation, cover every token, and name what cannot be had."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from kilowait.core.errors import InputError, ModelError
from kilowait.predict.embed.embedding import SUFFIX, Embedder, split_windows
from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.embed.language_model import LanguageModel, load_language_model, locate_model
from kilowait.program.source import Source, source_from_bytes
from tests.support.tiny_model import CONTEXT, LAYERS, WIDTH, write_tiny_model

TEXT = "import torch\nfor step in range(100):\n    loss = model(x).sum()\n"
SUFFIX_TOKENS = len(SUFFIX.encode())  # the tiny model has one token a byte


def a_source(text: str) -> Source:
    return source_from_bytes("job.py", text.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return load_language_model(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def plain(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def configuration(model: LanguageModel, pooling: str, layer: int, norm: str = "raw") -> FeatureConfiguration:
    location = model.location
    return FeatureConfiguration(
        model=location.name, revision=location.revision, pooling=pooling, layer=layer, norm=norm
    )


def plain_states(plain: torch.nn.Module, model: LanguageModel, text: str) -> tuple[torch.Tensor, ...]:
    """All hidden states of the unmodified model with its head: the embeddings, then one entry a block."""
    ids = torch.tensor([AutoTokenizer.from_pretrained(model.location.path)(text)["input_ids"]])
    with torch.no_grad():
        return tuple(state[0].float() for state in plain(ids, output_hidden_states=True).hidden_states)


class TestAgainstPlainTransformers:
    def test_last_is_the_last_token_of_the_blocks_raw_output(self, model, plain):
        found = Embedder(model).embed(a_source(TEXT), [configuration(model, "last", 2)])
        np.testing.assert_allclose(found[0].vector, plain_states(plain, model, TEXT)[2][-1], rtol=1e-4, atol=1e-5)

    def test_mean_is_over_all_tokens(self, model, plain):
        found = Embedder(model).embed(a_source(TEXT), [configuration(model, "mean", 2)])
        np.testing.assert_allclose(found[0].vector, plain_states(plain, model, TEXT)[2].mean(0), rtol=1e-4, atol=1e-5)

    def test_suffix_is_the_last_token_of_the_source_with_the_prompt(self, model, plain):
        found = Embedder(model).embed(a_source(TEXT), [configuration(model, "suffix", 3)])
        expected = plain_states(plain, model, TEXT + SUFFIX)[3][-1]
        np.testing.assert_allclose(found[0].vector, expected, rtol=1e-4, atol=1e-5)
        assert found[0].tokens == len(TEXT)

    def test_numbers_weigh_the_last_token_of_each_literal_by_the_log_of_one_more(self, model, plain):
        text = "n16 = 16  # 0x8, v1.2.3\nrate = 0.5\n"
        found = Embedder(model).embed(a_source(text), [configuration(model, "numbers", 2)])[0]
        states = plain_states(plain, model, text)[2]
        expected = states[text.index(" 16") + 2] * math.log(17) + states[text.index(".5") + 1] * math.log(1.5)
        np.testing.assert_allclose(found.vector, expected, rtol=1e-4, atol=1e-5)

    def test_numbers_of_a_source_without_any_are_zero(self, model):
        found = Embedder(model).embed(a_source("pass\n"), [configuration(model, "numbers", 2)])[0]
        assert found.vector.tolist() == [0.0] * WIDTH

    def test_final_norm_at_the_last_block_is_transformers_last_hidden_state(self, model, plain):
        states = plain_states(plain, model, TEXT)
        found = Embedder(model).embed(
            a_source(TEXT),
            [configuration(model, "last", LAYERS, "final"), configuration(model, "mean", LAYERS, "final")],
        )
        np.testing.assert_allclose(found[0].vector, states[-1][-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found[1].vector, states[-1].mean(0), rtol=1e-4, atol=1e-5)

    def test_raw_at_the_last_block_is_before_the_final_norm(self, model, plain):
        found = Embedder(model).embed(a_source(TEXT), [configuration(model, "last", LAYERS)])
        with torch.no_grad():
            normed = plain.model.norm(torch.from_numpy(found[0].vector))
        np.testing.assert_allclose(normed, plain_states(plain, model, TEXT)[-1][-1], rtol=1e-4, atol=1e-5)

    def test_final_norm_of_a_middle_block_is_applied_token_by_token(self, model, plain):
        with torch.no_grad():
            expected = plain.model.norm(plain_states(plain, model, TEXT)[1]).mean(0)
        found = Embedder(model).embed(a_source(TEXT), [configuration(model, "mean", 1, "final")])
        np.testing.assert_allclose(found[0].vector, expected, rtol=1e-4, atol=1e-5)

    def test_bfloat16_agrees_with_float32_to_its_rounding(self, folder, model):
        rounded = load_language_model(str(folder), dtype="bfloat16")
        assert rounded.dtype == torch.bfloat16
        asked = [configuration(model, p, 2) for p in ("last", "mean", "suffix")]
        pairs = zip(
            Embedder(model).embed(a_source(TEXT), asked), Embedder(rounded).embed(a_source(TEXT), asked), strict=True
        )
        for exact, coarse in pairs:
            assert coarse.vector.dtype == np.float32
            error = np.linalg.norm(exact.vector - coarse.vector) / np.linalg.norm(exact.vector)
            assert 0 < error < 0.05


class TestOnePass:
    def test_one_pass_serves_every_pooling_layer_and_norm_in_the_order_asked(self, model):
        asked = [
            configuration(model, pooling, layer, norm)
            for layer in (4, 1, 2)
            for pooling in ("suffix", "last", "mean")
            for norm in ("final", "raw")
        ]
        together = Embedder(model).embed(a_source(TEXT), asked)
        assert [e.features for e in together] == [c.key for c in asked]
        for embedding, alone in zip(together, asked, strict=True):
            expected = Embedder(model).embed(a_source(TEXT), [alone])[0].vector
            np.testing.assert_allclose(embedding.vector, expected, rtol=1e-4, atol=1e-5)
            assert embedding.vector.shape == (WIDTH,)

    def test_blocks_after_the_deepest_asked_never_run(self, model):
        ran = []
        hooks = [
            block.register_forward_pre_hook(lambda *_, at=at: ran.append(at))
            for at, block in enumerate(model.blocks, start=1)
        ]
        asked = [configuration(model, "mean", 1), configuration(model, "last", 2)]
        Embedder(model).embed(a_source(TEXT), asked)
        for hook in hooks:
            hook.remove()
        assert ran == [1, 2]

    def test_nothing_stays_behind_on_the_model(self, model):
        Embedder(model).embed(a_source(TEXT), [configuration(model, "mean", 2)])
        assert not any(block._forward_hooks for block in model.blocks)

    def test_the_same_source_gives_the_same_bits(self, model):
        asked = [configuration(model, p, 3) for p in ("last", "mean", "suffix")]
        first, second = (Embedder(model).embed(a_source(TEXT), asked) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            assert a.vector.tobytes() == b.vector.tobytes()


class TestWindows:
    @given(st.integers(1, 5000), st.integers(1, 700))
    def test_windows_cover_every_token_once_and_are_as_few_and_as_equal_as_can_be(self, tokens, window):
        windows = split_windows(tokens, window)
        assert [i for w in windows for i in w] == list(range(tokens))
        assert max(map(len, windows)) <= window
        assert max(map(len, windows)) - min(map(len, windows)) <= 1
        assert (len(windows) - 1) * window < tokens

    def test_windows_by_hand(self):
        assert split_windows(10, 10) == [range(10)]
        assert split_windows(11, 10) == [range(5), range(5, 11)]

    def test_mean_of_a_long_source_weighs_windows_by_tokens(self, model, plain):
        text = "abcdefghij klmnopqrst\n"[:21]
        found = Embedder(model, window=10).embed(a_source(text), [configuration(model, "mean", 2)])[0]
        parts = [plain_states(plain, model, part)[2] for part in (text[:7], text[7:14], text[14:])]
        assert (found.tokens, found.windows) == (21, 3)
        np.testing.assert_allclose(found.vector, torch.cat(parts).mean(0), rtol=1e-4, atol=1e-5)

    def test_numbers_of_a_long_source_come_from_every_window(self, model, plain):
        text = "aaaa 7 bbbbbb 9 "
        found = Embedder(model, window=8).embed(a_source(text), [configuration(model, "numbers", 2)])[0]
        first, second = (plain_states(plain, model, part)[2] for part in (text[:8], text[8:]))
        expected = first[5] * math.log(8) + second[6] * math.log(10)
        np.testing.assert_allclose(found.vector, expected, rtol=1e-4, atol=1e-5)

    def test_last_and_suffix_of_a_long_source_come_from_the_final_window(self, model, plain):
        text = "0123456789ABCDEF"
        asked = [configuration(model, "last", 2), configuration(model, "suffix", 2)]
        last, suffix = Embedder(model, window=8).embed(a_source(text), asked)
        assert (last.windows, suffix.windows) == (2, 2)
        np.testing.assert_allclose(last.vector, plain_states(plain, model, text[8:])[2][-1], rtol=1e-4, atol=1e-5)
        expected = plain_states(plain, model, text[8:] + SUFFIX)[2][-1]
        np.testing.assert_allclose(suffix.vector, expected, rtol=1e-4, atol=1e-5)

    def test_of_a_source_that_is_too_long_evenly_spaced_windows_stand_for_the_rest(self, model, plain):
        text = "ab 7 cd 9 ef 3 gh 4 ij 5 "  # windows of 5 tokens
        asked = [configuration(model, pooling, 2) for pooling in ("mean", "numbers", "last")]
        mean, numbers, last = Embedder(model, window=5, most_tokens=15).embed(a_source(text), asked)
        states = [plain_states(plain, model, part)[2] for part in (text[:5], text[10:15], text[20:])]
        assert (mean.tokens, mean.windows) == (25, 3)
        np.testing.assert_allclose(mean.vector, torch.cat(states).mean(0), rtol=1e-4, atol=1e-5)
        sums = states[0][3] * math.log(8) + states[1][3] * math.log(4) + states[2][3] * math.log(6)
        np.testing.assert_allclose(numbers.vector, sums * 25 / 15, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(last.vector, states[2][-1], rtol=1e-4, atol=1e-5)
        only = Embedder(model, window=5, most_tokens=5).embed(a_source(text), asked[:1])[0]
        np.testing.assert_allclose(only.vector, states[2].mean(0), rtol=1e-4, atol=1e-5)

    def test_source_beyond_the_context_is_windowed_never_cut(self, model):
        text = "x = 1\n" * 100
        found = Embedder(model).embed(a_source(text), [configuration(model, "mean", 1)])[0]
        assert (found.tokens, found.windows) == (600, -(-600 // (CONTEXT - SUFFIX_TOKENS)))
        changed = Embedder(model).embed(a_source("y" + text[1:]), [configuration(model, "mean", 1)])[0]
        assert not np.array_equal(found.vector, changed.vector)

    def test_window_that_leaves_no_room_for_the_suffix_is_refused(self, model):
        with pytest.raises(InputError, match=f"window must be 1 to {CONTEXT - SUFFIX_TOKENS} tokens"):
            Embedder(model, window=CONTEXT)


class TestRefusals:
    def test_another_revision_is_named(self, model):
        asked = FeatureConfiguration(model=model.location.name, revision="other", layer=1)
        with pytest.raises(ModelError, match="@other"):
            Embedder(model).embed(a_source(TEXT), [asked])

    def test_layer_beyond_the_model_is_named(self, model):
        with pytest.raises(ModelError, match="has 4 blocks"):
            Embedder(model).embed(a_source(TEXT), [configuration(model, "mean", 5)])

    def test_no_configuration_is_an_error(self, model):
        with pytest.raises(InputError, match="no feature configuration"):
            Embedder(model).embed(a_source(TEXT), [])

    def test_folder_without_a_model_is_named(self, tmp_path):
        with pytest.raises(ModelError, match="holds no model"):
            locate_model(str(tmp_path))

    def test_damaged_weights_are_named(self, tmp_path):
        write_tiny_model(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_language_model(str(tmp_path), dtype="float32")

    def test_hub_model_that_cannot_be_had_offline_says_what_to_do(self, tmp_path):
        code = (
            "from kilowait.predict.embed.language_model import locate_model\n"
            "from kilowait.core.errors import ModelError\n"
            "try:\n    locate_model('someone/some-model')\n"
            "except ModelError as error:\n    print(error)\n"
        )
        environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": "."}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=600
        )
        assert "someone/some-model: not in the local cache" in run.stdout
        assert "give its folder as --model" in run.stdout


class TestRevision:
    def test_local_revision_follows_the_weights(self, folder, tmp_path):
        same = locate_model(str(write_tiny_model(tmp_path / "same")))
        other = locate_model(str(write_tiny_model(tmp_path / "other", seed=1)))
        assert same.revision == locate_model(str(folder)).revision
        assert other.revision != same.revision

    def test_pinned_revision_that_is_not_there_is_refused(self, folder):
        with pytest.raises(ModelError, match="revision 0123 is asked for"):
            locate_model(str(folder), "0123")

    def test_key_of_a_local_model_parses_back(self, model):
        asked = configuration(model, "mean", 2)
        assert FeatureConfiguration.parse(asked.key) == asked
