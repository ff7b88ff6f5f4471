import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """A feature pyramid with heads for boxes over anchors."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in ((3, 64), (64, 128), (128, 256), (256, 512)))
        self.side = nn.ModuleList(nn.Conv2d(c, 128, 1) for c in (128, 256, 512))
        self.classes, self.boxes = nn.Conv2d(128, 9 * 20, 3, padding=1), nn.Conv2d(128, 9 * 4, 3, padding=1)

    def forward(self, x):
        levels = []
        for conv in self.body:
            x = F.leaky_relu(conv(x), 0.1)
            levels.append(x)
        sides = [side(level) for side, level in zip(self.side, levels[1:], strict=True)]
        for i in (1, 0):
            sides[i] = sides[i] + F.interpolate(sides[i + 1], size=sides[i].shape[-2:], mode="nearest")
        scores = torch.cat([self.classes(s).permute(0, 2, 3, 1).reshape(len(x), -1, 20) for s in sides], 1)
        boxes = torch.cat([self.boxes(s).permute(0, 2, 3, 1).reshape(len(x), -1, 4) for s in sides], 1)
        best, label = scores.sigmoid().max(-1)
        top, where = best.topk(300, dim=1)
        return top, label.gather(1, where), boxes.gather(1, where.unsqueeze(-1).expand(-1, -1, 4))


def get_inputs():
    return [torch.randn(2, 3, 256, 256)]


def get_init_inputs():
    return []
