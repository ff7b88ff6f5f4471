"""One step of a timm model as timm's own benchmark takes it: autocast, input already on the GPU, TF32 products."""

import sys

import timm
import torch
from placing import on_gpu
from timm.layers import set_fused_attn

model_name, mode, precision, batch, side, channels_last, torch_version = sys.argv[1:8]
since_2 = not torch_version.startswith("1.")
set_fused_attn(since_2)
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = True
half = torch.bfloat16 if "bf16" in precision else torch.float16
autocast = torch.autocast("cuda", dtype=half, enabled=precision.startswith("amp"))
model = on_gpu(timm.create_model(model_name)).train(mode == "train")
images = torch.empty(int(float(batch)), 3, int(float(side)), int(float(side)), device="cuda")
if not precision.startswith("amp"):
    model, images = on_gpu(model, half), torch.empty(images.shape, dtype=half, device="cuda")
if channels_last == "yes":
    model = on_gpu(model, memory_format=torch.channels_last)
    images = torch.empty_like(images, memory_format=torch.channels_last)
if mode == "infer":
    with torch.inference_mode(), autocast:
        model(images)
else:
    labels = torch.empty(len(images), dtype=torch.long, device="cuda")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, foreach=since_2)
    for parameter in model.parameters():  # as in every step but the first
        optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter)
    with autocast:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
    optimizer.step()
