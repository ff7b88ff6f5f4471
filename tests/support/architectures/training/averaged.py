import copy
import os

import torch
import torch.nn.functional as F
from torch import nn

student = nn.Sequential(
    nn.Conv2d(1, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10)
).cuda()
teacher = copy.deepcopy(student).eval().requires_grad_(False)
average = torch.optim.swa_utils.AveragedModel(student, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999))
if os.path.exists("teacher.pt"):
    teacher.load_state_dict(torch.load("teacher.pt", map_location="cuda", weights_only=True))
optimizer = torch.optim.NAdam(student.parameters(), lr=1e-3)
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
for epoch in range(10):
    for step in range(40):
        x, y = torch.randn(32, 1, 28, 28, device="cuda"), torch.randint(0, 10, (32,), device="cuda")
        with torch.inference_mode():
            soft = F.softmax(teacher(x) / 4, -1)
        logits = student(x)
        loss = F.cross_entropy(logits, y) + 16 * F.kl_div(
            F.log_softmax(logits / 4, -1), soft.clone(), reduction="batchmean"
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(student)
    plateau.step(loss.item())
