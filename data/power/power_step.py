"""One training step of a network of the power limit sweeps, or a decoding step of a served language model."""

import contextlib
import sys

import torch
from placing import on_gpu
from torch import nn

network, batch, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.backends.cuda.matmul.allow_tf32 = True  # as PyTorch's default was until 1.12
torch.backends.cudnn.benchmark = True


class Block(nn.Module):
    """A transformer block without dropout; `heads_kv` of the heads have keys and values of their own."""

    def __init__(self, width, inner, heads):
        super().__init__()
        self.heads, self.before, self.after = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.gelu = nn.Linear(width, inner), nn.Linear(inner, width), nn.GELU()

    def forward(self, x):
        """Run it."""
        rows, length, width = x.shape
        parts = self.asked(self.before(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = torch.softmax(parts[0] @ parts[1].transpose(-1, -2) * 0.1, -1)
        x = x + self.out((scores @ parts[2]).transpose(1, 2).reshape(rows, length, width))
        return x + self.down(self.gelu(self.up(self.after(x))))


class Speech(nn.Module):
    """Deep Speech 2: two convolutions over a spectrogram, five bidirectional LSTMs, a letter a frame."""

    def __init__(self):
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(1, 32, (41, 11), (2, 2), (20, 5)), nn.BatchNorm2d(32), nn.Hardtanh(),
            nn.Conv2d(32, 32, (21, 11), (2, 1), (10, 5)), nn.BatchNorm2d(32), nn.Hardtanh(),
        )  # fmt: skip
        self.heard = nn.LSTM(32 * 41, 1024, num_layers=5, bidirectional=True)
        self.letters = nn.Linear(2048, 29)

    def forward(self, x):
        """Run it."""
        seen = self.seen(x)
        return self.letters(self.heard(seen.flatten(1, 2).permute(2, 0, 1))[0])


class Recommender(nn.Module):
    """Neural collaborative filtering: products of embeddings beside a perceptron over others."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleList(
            [nn.Embedding(n, w) for n, w in ((6040, 32), (3706, 32), (6040, 128), (3706, 128))]
        )
        self.deep = nn.Sequential(*(part for n in (256, 128, 64) for part in (nn.Linear(n, n // 2), nn.ReLU())))
        self.score = nn.Linear(64, 1)

    def forward(self, x):
        """Run it."""
        a, b, c, d = (embedding(x) for embedding in self.embeddings)
        return self.score(torch.cat([a * b, self.deep(torch.cat([c, d], -1))], -1))


def shuffle_net():
    """ShuffleNet v2 for images of 32 x 32."""
    import torchvision

    net = torchvision.models.shufflenet_v2_x1_0(num_classes=100)
    net.conv1[0].stride, net.maxpool = (1, 1), nn.Identity()
    return net


def wide_resnet():
    """A stretch of ResNet-101 with eight times the channels."""
    import torchvision

    make = torchvision.models.resnet.Bottleneck
    return nn.Sequential(*(make(1024, 256, base_width=512) for _ in range(4)))


BLOCKS = {"bert-huge": (1280, 5120, 16), "gpt3-xl": (2048, 8192, 24 - 8), "gpt3-2.7b": (2560, 10240, 32),
          "gpt3-6.7b": (4096, 16384, 32), "bloom-3b": (2560, 10240, 32), "t5-3b": (1024, 16384, 32)}  # fmt: skip


def blocks(sizes, layers):
    """Layers of one stage."""
    return nn.Sequential(*(Block(*sizes) for _ in range(layers)))


def train(model, data, half, step=True):
    """Forward, backward, and Adam where the step has one."""
    model = on_gpu(model).train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, foreach=False)
    for parameter in parameters:  # as in every step but the first
        parameter.grad = torch.empty_like(parameter)
        like = torch.empty_like(parameter)
        optimizer.state[parameter] = {"step": torch.empty(()), "exp_avg": like, "exp_avg_sq": like.clone()}
    with torch.autocast("cuda", torch.float16) if half else contextlib.nullcontext():
        output = model(data)
        loss = (output.logits if hasattr(output, "logits") else output).float().square().mean()
    loss.backward()
    if step:
        optimizer.step()


def decode(parameters, width=4096):
    """The weights of a dense model read once for a token of every row, and keys and values of `length` tokens."""
    count = max(1, round(parameters / (12 * width * width)))
    layers = on_gpu(nn.ModuleList(nn.Linear(width, n) for n in (6144, width, 24576)), torch.bfloat16)
    down = on_gpu(nn.Linear(8192, width), torch.bfloat16)
    keys, x = (
        torch.empty(*shape, dtype=torch.bfloat16, device="cuda") for shape in ((batch, 8, length, 128), (batch, width))
    )
    with torch.inference_mode():
        for _ in range(count):
            asked = layers[0](x)[:, :4096].view(batch, 8, 4, 128)
            x = layers[1]((torch.softmax(asked @ keys.transpose(-1, -2), -1) @ keys).reshape(batch, width))
            wide = layers[2](x)
            x = down(wide[:, :8192] * wide[:, 8192:16384])


if network.startswith("decode-"):
    decode(float(network.removeprefix("decode-")) * 1e9)
elif network in BLOCKS:
    shape = (batch, length, BLOCKS[network][0])
    train(blocks(BLOCKS[network], 2), torch.empty(*shape, device="cuda", requires_grad=True), True, step=False)
elif network == "wide-resnet101_8":
    train(wide_resnet(), torch.empty(batch, 1024, length, length, device="cuda", requires_grad=True), True, step=False)
elif network == "bert_base_uncased":
    train(blocks((768, 3072, 12), 12), torch.empty(batch, length, 768, device="cuda", requires_grad=True), False)
elif network == "deepspeech2":
    train(Speech(), torch.empty(batch, 1, 161, length, device="cuda"), False)
elif network == "ncf":
    train(Recommender(), torch.zeros(batch, dtype=torch.long, device="cuda"), False)
elif network == "shufflenetv2":
    train(shuffle_net(), torch.empty(batch, 3, length, length, device="cuda"), False)
else:
    import torchvision

    train(torchvision.models.get_model(network), torch.empty(batch, 3, length, length, device="cuda"), False)
