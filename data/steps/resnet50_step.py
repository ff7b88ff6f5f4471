"""One training step of ResNet-50 v1.5 with momentum, in float32 or autocast under a fixed loss scale."""

import sys

import torch
import torchvision
from placing import on_gpu

precision, batch, tf32, channels_last = sys.argv[1:5]
torch.backends.cudnn.benchmark = True
torch.backends.cuda.matmul.allow_tf32 = tf32 == "yes"
half = precision == "amp_fp16"
model = on_gpu(torchvision.models.resnet50(weights=None)).train()
images = torch.empty(int(float(batch)), 3, 224, 224, device="cuda")
if channels_last == "yes":
    model = on_gpu(model, memory_format=torch.channels_last)
    images = torch.empty_like(images, memory_format=torch.channels_last)
labels = torch.empty(len(images), dtype=torch.long, device="cuda")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.875, weight_decay=3e-5, foreach=False)
for parameter in model.parameters():  # as in every step but the first
    optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter)
with torch.autocast("cuda", enabled=half):
    loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
(loss * 128 if half else loss).backward()
if half:
    torch._amp_foreach_non_finite_check_and_unscale_(
        [p.grad for p in model.parameters()], torch.empty(1, device="cuda"), torch.empty(1, device="cuda")
    )
optimizer.step()
