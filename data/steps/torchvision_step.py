"""One step of a torchvision model, a copy of a pageable batch to the GPU included, without an optimizer."""

import sys

import torch
import torchvision
from placing import on_gpu

model_name, mode, precision, batch, side, tf32_products = sys.argv[1:7]
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = tf32_products == "yes"
kind = {"fp32": torch.float32, "fp16": torch.float16, "fp64": torch.float64}[precision]
model = on_gpu(torchvision.models.get_model(model_name, weights=None), kind).train(mode == "train")
images = torch.empty(int(float(batch)), 3, int(float(side)), int(float(side)), dtype=kind)
if mode == "infer":
    with torch.no_grad():
        model(images.to("cuda"))
else:
    labels = torch.empty(len(images), dtype=torch.long)
    for parameter in model.parameters():  # as in every step but the first
        parameter.grad = torch.empty_like(parameter)
    model.zero_grad(set_to_none=False)
    output = model(images.to("cuda"))
    torch.nn.functional.cross_entropy(output, labels.to("cuda")).backward()
