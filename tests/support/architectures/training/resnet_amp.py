import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.a, self.b = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
        self.skip = (
            nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if stride > 1 else nn.Identity()
        )

    def forward(self, x):
        return F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))) + self.skip(x))


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 5000

    def __getitem__(self, i):
        return torch.randn(3, 32, 32), i % 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), Block(32, 64, 2), Block(64, 128, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    ).cuda().to(memory_format=torch.channels_last)  # fmt: skip
    model = nn.DataParallel(model)
    loader = torch.utils.data.DataLoader(Images(), 250, True, num_workers=4, pin_memory=True, persistent_workers=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=args.epochs * len(loader))
    scaler = torch.cuda.amp.GradScaler()
    for epoch in range(args.epochs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        running = 0.0
        for images, labels in loader:
            images, labels = images.cuda(non_blocking=True).to(memory_format=torch.channels_last), labels.cuda()
            optimizer.zero_grad()
            with torch.cuda.amp.autocast():
                loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            running += loss.item()
        end.record()
        torch.cuda.synchronize()
        print(
            f"{epoch}: {running / len(loader):.3f}, {start.elapsed_time(end):.0f} ms, {torch.cuda.max_memory_allocated()}"
        )
    torch.save({"model": model.module.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint.pt")


if __name__ == "__main__":
    main()
