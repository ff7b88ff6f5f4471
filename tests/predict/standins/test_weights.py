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
