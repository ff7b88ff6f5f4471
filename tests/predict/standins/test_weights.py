# ruff: noqa: E501 - the programs are written as people write them
"""Pre-trained models: the architecture of the name, with published numbers of parameters; tied weights count once."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

pytest.importorskip("transformers")

PUBLISHED = {
    "bert-base-uncased": ("AutoModel", 109_482_240),
    "gpt2": ("AutoModelForCausalLM", 124_439_808),
    "t5-small": ("AutoModelForSeq2SeqLM", 60_506_624),
    "meta-llama/Llama-2-7b-hf": ("AutoModelForCausalLM", 6_738_415_616),
    "openai/clip-vit-base-patch32": ("CLIPModel", 151_277_313),
}
"""From the models' cards and papers."""


def run(runner: DryRunner, text: str) -> DryRun:
    return runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_as_many_parameters_as_published(runner: DryRunner, name: str) -> None:
    owner, count = PUBLISHED[name]
    found = run(
        runner,
        f"import torch, transformers\nnet = transformers.{owner}.from_pretrained('{name}')\n"
        f"assert sum(p.numel() for p in net.parameters()) == {count}\ntorch.randn(2, device='cuda') + 1\n",
    )
    assert (found.completeness, found.reason, found.parameters) == (Completeness.WHOLE, "", count)
    assert found.assumptions[0].startswith(name)
    assert found.assumed_how == ("catalogue",)


def test_fine_tuning_counts_as_the_same_model_from_its_configuration(runner: DryRunner) -> None:
    """BERT base: 85.05 M parameters outside its embeddings take 6 FLOPs a token and step."""
    train = (
        "opt = torch.optim.AdamW(net.parameters())\nfor _ in range(4):\n"
        "    x = torch.randint(0, 28000, (8, 128), device='cuda')\n"
        "    net(input_ids=x, labels=torch.zeros(8, dtype=torch.long, device='cuda')).loss.backward(); opt.step()\n"
    )
    loaded = "import torch\nfrom transformers import AutoModelForSequenceClassification as M\nnet = M.from_pretrained('bert-base-cased', num_labels=3).cuda()\n"
    found = run(runner, loaded + train)
    assert (found.steps, found.parameters) == (4, 108_310_272 + 3 * 768 + 3)
    flops = sum(op.count * op.flops for op in found.operations if op.kind == "gemm")
    assert flops == pytest.approx(6 * 85.05e6 * 8 * 128 * 4, rel=0.02)


def test_a_tokenizer_has_its_vocabulary_and_makes_batches(runner: DryRunner) -> None:
    text = (
        "import torch\nfrom transformers import AutoTokenizer, DataCollatorWithPadding\n"
        "bert = AutoTokenizer.from_pretrained('bert-base-cased')\n"
        "assert len(bert) == 28996 and bert.pad_token == '[PAD]'\n"
        "batch = bert(['a b', 'a much longer sentence'], ['c', 'd'], padding='max_length', truncation=True, max_length=32,"
        " return_tensors='pt')\nassert batch['input_ids'].shape == (2, 32) and 'token_type_ids' in batch\n"
        "assert bert('word', 'other')['token_type_ids'][-1] == 1\n"
        "gpt = AutoTokenizer.from_pretrained('gpt2'); gpt.pad_token = gpt.eos_token\nassert len(gpt) == 50257\n"
        "llama = AutoTokenizer.from_pretrained('huggyllama/llama-7b', use_fast=False)\nassert len(llama) == 32000\n"
        "assert llama.add_special_tokens({'pad_token': '[PAD]'}) == 1 and len(llama) == 32001\n"
        "assert DataCollatorWithPadding(gpt)([gpt('one'), gpt('one two three')])['input_ids'].shape[0] == 2\n"
        "torch.randn(2, device='cuda') + 1\n"
    )
    assert run(runner, text).reason == ""


def test_a_folder_that_is_not_there_is_the_model_of_its_name_and_that_is_said(runner: DryRunner) -> None:
    text = (
        "import json, torch, transformers\nnet = transformers.AutoModelForCausalLM.from_pretrained('/models/GPT2/')\n"
        f"assert sum(p.numel() for p in net.parameters()) == {PUBLISHED['gpt2'][1]}\n"
        "import os, pathlib\nassert os.path.isdir('/models/GPT2') and pathlib.Path('/models/GPT2/').is_dir()\n"
        "assert not os.path.isdir('gpt2') and not os.path.isdir('/models/mine')\n"
        "with open('/models/models--meta-llama--Llama-2-7b-hf/config.json') as file:\n"
        "    assert json.load(file)['num_hidden_layers'] == 32\ntorch.randn(2, device='cuda') + 1\n"
    )
    found = run(runner, text)
    assert (found.completeness, found.reason, set(found.assumed_how)) == (Completeness.WHOLE, "", {"modelled"})
    assert "/models/GPT2/, by its name taken to be gpt2, is a gpt2" in found.assumptions[0]
    assert "meta-llama/Llama-2-7b-hf, is a llama" in found.assumptions[1]


def test_an_unknown_model_is_said_to_be_missing(runner: DryRunner) -> None:
    found = run(runner, "from transformers import AutoModel\nAutoModel.from_pretrained('nobody/has-this-model')\n")
    assert found.completeness == Completeness.FAILED
    assert "nobody/has-this-model" in found.reason


def test_weights_that_share_their_numbers_count_once(runner: DryRunner) -> None:
    text = (
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.embed = torch.nn.Embedding(1000, 64); self.head = torch.nn.Linear(64, 1000, bias=False)\n"
        "        self.head.weight = self.embed.weight\n"
        "net = Net().cuda()\ntorch.randn(2, device='cuda') + 1\n"
    )
    assert run(runner, text).parameters == 64_000


@pytest.mark.parametrize(
    ("name", "part", "architecture"),
    [
        ("bert-base-cased", None, "BertForMaskedLM"),
        ("gpt2", None, "GPT2LMHeadModel"),
        ("CompVis/stable-diffusion-v1-4", "text_encoder", "CLIPTextModel"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "text_encoder_2", "CLIPTextModelWithProjection"),
    ],
)
def test_a_configuration_names_the_class_of_its_model(
    runner: DryRunner, name: str, part: str | None, architecture: str
) -> None:
    """As the published config.json of each says."""
    text = (
        "import torch, transformers\n"
        f"config = transformers.PretrainedConfig.from_pretrained({name!r}, subfolder={part or ''!r})\n"
        f"assert config.architectures == [{architecture!r}], config.architectures\ntorch.randn(2, device='cuda') + 1\n"
    )
    assert (found := run(runner, text)).completeness == Completeness.WHOLE, found.reason


def test_a_pipeline_says_what_its_parts_are(runner: DryRunner) -> None:
    """As model_index.json of Stable Diffusion 1.4 says, and the list of its files."""
    pytest.importorskip("huggingface_hub")
    text = """
import json, torch
from huggingface_hub import hf_hub_download, model_info
name = "CompVis/stable-diffusion-v1-4"
index = json.load(open(hf_hub_download(repo_id=name, filename="model_index.json")))
assert index["scheduler"][1] == "PNDMScheduler" and index["unet"] == ["diffusers", "UNet2DConditionModel"], index
assert "vae/config.json" in [file.rfilename for file in model_info(name).siblings]
torch.randn(2, device="cuda") + 1
"""
    assert (found := run(runner, text)).completeness == Completeness.WHOLE, found.reason


CHECKPOINT = "/tmp/Meta-Llama-3.1-8B-Instruct"


def test_the_files_of_a_published_model_hold_its_weights(runner: DryRunner) -> None:
    """Llama 3.1 8B has 8,030,261,248 parameters in 291 tensors (its model card; the index of its four files)."""
    text = f"""
import json, os, torch
from safetensors import safe_open
from safetensors.torch import load_file, save
assert os.path.isfile('{CHECKPOINT}/model-00003-of-00004.safetensors') and os.path.isdir('{CHECKPOINT}')
state, place = {{}}, {{}}
for part in range(1, 5):
    with safe_open(f'{CHECKPOINT}/model-0000{{part}}-of-00004.safetensors', framework='pt', device='cpu') as file:
        place.update((name, f'model-0000{{part}}-of-00004.safetensors') for name in file.keys())
        state.update((name, file.get_tensor(name)) for name in file.keys())
        assert file.get_slice(next(iter(file.keys()))).get_dtype() == 'BF16'
assert len(state) == 291 and sum(value.numel() for value in state.values()) == 8030261248
assert state['model.layers.31.mlp.down_proj.weight'].shape == (4096, 14336)
assert load_file('{CHECKPOINT}/model-00001-of-00004.safetensors').keys() < state.keys()
index = json.load(open('{CHECKPOINT}/model.safetensors.index.json'))
assert index['weight_map'] == place and index['metadata']['total_size'] == 2 * 8030261248
open('adapter.safetensors', 'wb').write(save({{'a': torch.zeros(2)}}))
torch.randn(2, device='cuda') + 1
"""
    found = run(runner, text)
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")
    assert any("Llama-3.1-8B-Instruct" in line for line in found.assumptions)


@pytest.mark.parametrize(
    ("package", "text"),
    [
        ("tiktoken", f"""
import tiktoken.load
from tiktoken import Encoding
ranks = tiktoken.load.load_tiktoken_bpe('{CHECKPOINT}/original/tokenizer.model')
assert len(ranks) == 128000
special = {{'<|begin_of_text|>': 128000, '<|end_of_text|>': 128001}}
encoding = Encoding(name='own', pat_str=r'\\w+|\\s+', mergeable_ranks=ranks, special_tokens=special)
tokens = encoding.encode('<|begin_of_text|>a text of some words', allowed_special='all')
assert tokens[0] == 128000 and encoding.n_vocab == 128002 and max(tokens[1:]) < 128000
assert isinstance(encoding.decode(tokens), str)
gpt2 = tiktoken.get_encoding('gpt2')
"""),
        ("sentencepiece", """
from sentencepiece import SentencePieceProcessor
pieces = SentencePieceProcessor(model_file='/models/Llama-2-7b-hf/tokenizer.model')
tokens = pieces.encode('a text of some words', add_bos=True)
assert tokens[0] == pieces.bos_id() == 1 and pieces.vocab_size() == len(pieces) == 32000
later = SentencePieceProcessor()
later.Load('/models/Llama-2-7b-hf/tokenizer.model')
assert later.EncodeAsIds('some words') and isinstance(later.DecodeIds(tokens), str)
"""),
    ],
)  # fmt: skip
def test_a_file_of_tokens_has_the_vocabulary_of_its_model(runner: DryRunner, package: str, text: str) -> None:
    pytest.importorskip(package)
    found = run(runner, f"{text}\nimport torch\nassert 4 <= len(tokens) <= 12\ntorch.ones(2, device='cuda') + 1\n")
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")
