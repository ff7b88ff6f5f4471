"""Train a ResNet on images made of random numbers. Any PyTorch script can stand here: kilowait reads it as it is.

kilowait predict examples/train_resnet.py
kilowait predict examples/train_resnet.py -- --epochs 90 --batch-size 256
python examples/train_resnet.py --images 64 --batch-size 16 --width 8 --epochs 1     # runs on a laptop
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 10
SIZE = 32


class Block(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        straight = stride == 1 and channels_in == channels
        self.around = nn.Identity() if straight else nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Images of (batch, channels_in, height, width) to (batch, channels, height / stride, width / stride)."""
        hidden = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(hidden)) + self.around(x))


def resnet(width: int, depth: int) -> nn.Sequential:
    """A residual network for images of 32 x 32: three stages of `depth` blocks, each twice as wide as the last."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels_in = width
    for stage in range(3):
        channels = width * 2**stage
        for block in range(depth):
            layers.append(Block(channels_in, channels, stride=2 if stage > 0 and block == 0 else 1))
            channels_in = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels_in, CLASSES))


def main() -> None:
    """Train and print the loss of each epoch."""
    parser = argparse.ArgumentParser(description="Train a ResNet on images made of random numbers.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--depth", type=int, default=2, help="blocks a stage")
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    images = torch.randn(args.images, 3, SIZE, SIZE)
    labels = torch.randint(CLASSES, (args.images,))
    loader = DataLoader(TensorDataset(images, labels), batch_size=args.batch_size, shuffle=True, drop_last=True)
    model = resnet(args.width, args.depth).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    for epoch in range(args.epochs):
        for image_batch, label_batch in loader:
            loss = F.cross_entropy(model(image_batch.to(device)), label_batch.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
