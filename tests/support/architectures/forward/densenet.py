import torch
import torch.nn.functional as F
from torch import nn


class Layer(nn.Module):
    def __init__(self, inner, growth):
        super().__init__()
        self.net = nn.Sequential(
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
            nn.Dropout(0.0),
        )

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, layers, inner, growth):
        super().__init__()
        self.layers = nn.ModuleList([Layer(inner + i * growth, growth) for i in range(layers)])

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)


class Model(nn.Module):
    def __init__(self, growth=32, blocks=(6, 12, 8)):
        super().__init__()
        width, layers = (
            64,
            [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)],
        )
        for count in blocks:
            layers.append(Block(count, width, growth))
            width += count * growth
            layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
        self.net, self.head = nn.Sequential(*layers), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(F.relu(self.net(x)), 1).view(x.size(0), -1))


def get_inputs():
    return [torch.randn(4, 3, 224, 224)]


def get_init_inputs():
    return []
