"""One fine-tuning step of BERT on SQuAD: in float32, or all in half precision with float32 masters of the weights."""

import sys

import torch
from placing import on_gpu
from transformers import BertConfig, BertForQuestionAnswering

model_name, precision, batch, length, tf32 = sys.argv[1:6]
torch.backends.cuda.matmul.allow_tf32 = tf32 == "yes"
half = "fp16" in precision
sizes = {"bert-base-uncased": (768, 12, 12, 3072), "bert-large-uncased": (1024, 24, 16, 4096)}
width, layers, heads, inner = sizes[model_name]
config = BertConfig(
    hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
    attn_implementation="eager",
)  # fmt: skip
model = on_gpu(BertForQuestionAnswering(config), torch.float16 if half else None).train()
rows = torch.empty(int(float(batch)), int(float(length)), dtype=torch.long, device="cuda")
places = torch.empty(len(rows), dtype=torch.long, device="cuda")
parameters = list(model.parameters())
masters = [torch.nn.Parameter(torch.empty(p.shape, device="cuda")) for p in parameters] if half else parameters
optimizer = torch.optim.AdamW(masters, lr=3e-5, fused=half, foreach=False if not half else None)
for parameter in masters:  # as in every step but the first
    optimizer.state[parameter] = {
        "step": torch.empty((), device="cuda" if half else "cpu"),
        "exp_avg": torch.empty_like(parameter),
        "exp_avg_sq": torch.empty_like(parameter),
    }
output = model(rows, attention_mask=rows, token_type_ids=rows, start_positions=places, end_positions=places)
(output.loss * 1024 if half else output.loss).backward()
if half:
    for master, parameter in zip(masters, parameters, strict=True):
        master.grad = torch.empty(parameter.shape, device="cuda") if parameter.grad is not None else None
    torch._foreach_copy_(
        [m.grad for m in masters if m.grad is not None], [p.grad for p in parameters if p.grad is not None]
    )
torch.nn.utils.clip_grad_norm_(masters, 1.0)
optimizer.step()
if half:
    torch._foreach_copy_([p.data for p in parameters], [m.data for m in masters])
