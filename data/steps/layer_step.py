"""Forward, or forward and backward, of one layer of a language model in half precision, gradients enabled."""

import sys

import torch
from placing import on_gpu
from transformers import BertConfig, GPT2Config, T5Config
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.t5.modeling_t5 import T5Block

name, mode, batch, length = sys.argv[1:5]
rows, length = int(float(batch)), int(float(length))
eager = {"attn_implementation": "eager"}
if name.startswith("BertLayer"):
    width = 1024
    config = BertConfig(hidden_size=width, num_attention_heads=16, intermediate_size=4096, **eager)
    layer, more = BertLayer(config), {}
elif name.startswith("GPT2Block"):
    width = 1024
    layer, more = GPT2Block(GPT2Config(n_embd=width, n_head=16, n_positions=1024, **eager), layer_idx=0), {}
else:
    width = 1024
    config = T5Config(d_model=width, d_kv=64, d_ff=4096, num_heads=16, is_decoder="decoder" in name, **eager)
    layer = T5Block(config, has_relative_attention_bias=False, layer_idx=0)
    more = {"cache_position": torch.arange(length, device="cuda")}
    if "decoder" in name:
        more["encoder_hidden_states"] = torch.empty(rows, length, width, dtype=torch.float16, device="cuda")
layer = on_gpu(layer, torch.float16).train()
data = torch.empty(rows, length, width, dtype=torch.float16, device="cuda", requires_grad=True)
for parameter in layer.parameters():
    parameter.grad = torch.empty_like(parameter)
output = layer(data, **more)
if mode == "train":
    (output[0] if isinstance(output, tuple) else output).sum().backward()
