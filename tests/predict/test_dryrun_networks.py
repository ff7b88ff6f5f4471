# ruff: noqa: E501 - the programs are written as people write them
"""Whole networks as forward programs and training scripts: the usual modules run dry on a pretended GPU."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
IMAGES = "\ndef get_inputs():\n    return [torch.randn(2, 3, 32, 32)]\ndef get_init_inputs():\n    return []\n"
TOKENS = "\ndef get_inputs():\n    return [torch.randint(0, 100, (2, 16))]\ndef get_init_inputs():\n    return []\n"
VECTORS = "\ndef get_inputs():\n    return [torch.randn(2, 16, 32)]\ndef get_init_inputs():\n    return []\n"

FORWARD = {
    "residual": (
        """
class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                                  nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))
        self.skip = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Block(3, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(16, 10))
    def forward(self, x):
        return self.net(x)
""" + IMAGES, {"convolution": 6, "gemm": 1}),
    "dense": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.BatchNorm2d(3 + 4 * i), nn.ReLU(), nn.Conv2d(3 + 4 * i, 4, 3, padding=1), nn.Dropout(0.0)) for i in range(5)])
        self.pool = nn.MaxPool2d(2)
    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return self.pool(torch.cat(parts, 1))
""" + IMAGES, {"convolution": 5, "pooling": 1}),
    "depthwise with squeeze and excitation": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 24, 5, padding=2, groups=24)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 6, 1), nn.SiLU(), nn.Conv2d(6, 24, 1), nn.Sigmoid())
    def forward(self, x):
        x = F.hardswish(self.b(F.relu6(self.a(x))))
        return x * self.squeeze(x)
""" + IMAGES, {"convolution": 4}),
    "U-Net": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.mid = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 1, 1)
    def forward(self, x):
        a = F.relu(self.down(x))
        b = F.softmax(self.mid(F.max_pool2d(a, 2)), dim=-1)
        c = F.interpolate(F.avg_pool2d(self.up(b), 2), scale_factor=2, mode="bilinear", align_corners=True)
        return self.out(torch.cat([a, c], 1))
""" + IMAGES, {"convolution": 4, "pooling": 2}),
    "vision transformer": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cut, self.cls = nn.Linear(3 * 64, 32), nn.Parameter(torch.zeros(1, 1, 32))
        self.place = nn.Parameter(torch.randn(1, 17, 32))
        self.blocks = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 3)
    def forward(self, x):
        p = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(2, 16, -1)
        return self.blocks(torch.cat([self.cls.expand(2, -1, -1), self.cut(p)], 1) + self.place)[:, 0]
""" + IMAGES, {"attention": 3}),
    "shifted windows": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.qkv, self.norm = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 48), nn.LayerNorm(16)
        self.bias = nn.Parameter(torch.zeros(49, 2))
        grid = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
        away = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0) + 3
        self.register_buffer("index", away.sum(-1))
    def forward(self, x):
        x = torch.roll(self.patch(x).permute(0, 2, 3, 1), (-2, -2), (1, 2))
        w = x.view(2, 2, 4, 2, 4, 16).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 16)
        q, k, v = self.qkv(self.norm(w)).reshape(8, 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) + self.bias[self.index.view(-1)].view(16, 16, 2).permute(2, 0, 1)
        return scores.softmax(-1) @ v
""" + IMAGES, {"convolution": 1, "gemm": 3, "softmax": 1}),
    "GPT": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place, self.qkv = nn.Embedding(100, 32), nn.Embedding(16, 32), nn.Linear(32, 96)
        self.register_buffer("mask", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 100, bias=False)
    def forward(self, tokens):
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1], device=tokens.device))
        q, k, v = [t.view(2, 16, 4, 8).transpose(1, 2) for t in self.qkv(self.norm(x)).split(32, dim=2)]
        scores = (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(self.mask[:, :, :16, :16] == 0, float("-inf"))
        y = F.softmax(scores, -1) @ v + F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(F.gelu(y.transpose(1, 2).reshape(2, 16, 32)))
""" + TOKENS, {"gemm": 4, "attention": 1, "softmax": 1}),
    "multi-head attention": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)
    def forward(self, x):
        return self.attend(x, x, x)[0]
""" + VECTORS, {"gemm": 4}),
    "state-space scan": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.A = nn.Parameter(torch.randn(32, 4))
        self.B, self.conv = nn.Linear(32, 4), nn.Conv1d(32, 32, 3, padding=2, groups=32)
    def forward(self, x):
        u = self.conv(x.transpose(1, 2))[..., :16].transpose(1, 2)
        decay = torch.exp(torch.cumsum(F.softplus(x), 1).unsqueeze(-1) * -self.A.exp())
        state = torch.einsum("bld,bln->bldn", u, self.B(x)) * decay
        return torch.einsum("bldn,dn->bld", state, self.A)
""" + VECTORS, {"convolution": 1, "scan": 1}),
    "LSTM and GRU stack": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.LSTM(32, 24, num_layers=2, batch_first=True, bidirectional=True), nn.GRU(48, 8, batch_first=True)
    def forward(self, x):
        h = torch.zeros(4, 2, 24, device=x.device)
        y, _ = self.a(x, (h, h))
        return self.b(y)[1]
""" + VECTORS, {"recurrent": 2}),
    "NetVLAD": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.clusters, self.centres, self.norm = nn.Parameter(torch.randn(32, 10)), nn.Parameter(torch.randn(1, 32, 8)), nn.BatchNorm1d(10)
    def forward(self, x):
        a = F.softmax(self.norm(x.reshape(-1, 32) @ self.clusters), dim=1)[:, :8].view(-1, 16, 8)
        v = (torch.matmul(a.transpose(1, 2), x).transpose(1, 2) - a.sum(dim=1, keepdim=True) * self.centres)
        return F.normalize(F.normalize(v).reshape(-1, 256))
""" + VECTORS, {"gemm": 2, "softmax": 1}),
    "channel shuffle": (
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.up = nn.Conv2d(3, 16, 1), nn.GroupNorm(4, 16), nn.PixelShuffle(2)
    def forward(self, x):
        x = self.norm(self.a(x))
        return self.up(x.view(2, 4, 4, 32, 32).transpose(1, 2).contiguous().view(2, 16, 32, 32))
""" + IMAGES, {"convolution": 1}),
}  # fmt: skip

TRAINING = """
from torch.nn.parallel import DistributedDataParallel as DDP
class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2
    @staticmethod
    def backward(ctx, g):
        return g * 2
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn, self.out = nn.Embedding(50, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 50)
    def forward(self, x):
        y, _ = self.rnn(self.embed(x))
        q = y.unsqueeze(1)
        return self.out(Scale.apply(F.scaled_dot_product_attention(q, q, q).squeeze(1)))
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 320
    def __getitem__(self, i):
        t = torch.arange(12) % 50
        return t, t
torch.distributed.init_process_group("nccl")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = torch.compile(DDP(Net().to(device), device_ids=[0]))
loader = torch.utils.data.DataLoader(Data(), batch_size=32, shuffle=True, num_workers=4, pin_memory=True)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
scaler = torch.amp.GradScaler("cuda")
for epoch in range(7):
    model.train()
    for i, (x, y) in enumerate(loader):
        x, y = x.to(device, non_blocking=True), y.to(device)
        with torch.autocast("cuda", dtype=torch.float16):
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / 2
        scaler.scale(loss).backward()
        if (i + 1) % 2 == 0:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
    schedule.step()
    model.eval()
    with torch.no_grad():
        print(sum((model(x.to(device)).argmax(-1).cpu() == y).float().mean().item() for x, y in loader))
    print(loss.detach().cpu().numpy(), loss.tolist())
    torch.save(model.state_dict(), "checkpoint.pt")
"""


def _run(runner: DryRunner, text: str) -> DryRun:
    return runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))


def _counts(run: DryRun) -> dict[str, float]:
    counts: dict[str, float] = {}
    for op in run.operations:
        counts[op.kind] = counts.get(op.kind, 0) + op.count
    return counts


@pytest.mark.parametrize("name", FORWARD)
def test_a_network_runs_forward(name: str, runner: DryRunner) -> None:
    text, wanted = FORWARD[name]
    run = _run(runner, HEAD + text)
    assert (run.completeness, run.reason) == (Completeness.WHOLE, "")
    counts = _counts(run)
    assert {kind: counts.get(kind) for kind in wanted} == wanted
    assert {op.device for op in run.operations} == {"cuda"}


def test_a_long_scan_in_python_is_shortened(runner: DryRunner) -> None:
    scan = """
class Model(nn.Module):
    def forward(self, x):
        h, states = torch.zeros(2, 32, device=x.device), []
        for t in range(x.shape[1]):
            h = torch.tanh(h + x[:, t])
            states.append(h)
        return torch.stack(states, 1)
def get_inputs():
    return [torch.randn(2, 3000, 32)]
def get_init_inputs():
    return []
"""
    run = _run(runner, HEAD + scan)
    calls = {op.op: op.count for op in run.operations}
    assert (calls["aten.tanh"], calls["aten.add"], calls["aten.stack"]) == (3000, 3000, 1)
    stack = next(op for op in run.operations if op.op == "aten.stack")
    assert stack.bytes_written == 4 * 2 * 3000 * 32


def test_a_training_script_with_all_its_trimmings(runner: DryRunner) -> None:
    run = _run(runner, HEAD + TRAINING)
    assert (run.completeness, run.reason) == (Completeness.WHOLE, "")
    assert run.steps == pytest.approx(7 * 5)
    assert run.parameters == 50 * 16 + 4 * 32 * (16 + 32 + 2) + 50 * 33
    forward = [op for op in run.operations if op.op == "aten._cudnn_rnn"]
    backward = [op for op in run.operations if op.op == "aten._cudnn_rnn_backward"]
    assert sum(op.count for op in backward) == pytest.approx(70)
    assert sum(op.count for op in forward) == pytest.approx(140)
    assert forward[0].flops == 2 * 32 * 12 * 4 * 32 * (16 + 32)
    attention = [op for op in run.operations if op.kind == "attention"]
    assert sum(op.count for op in attention) == pytest.approx(210)
    assert sum(op.count for op in attention if op.dtype == "float16") == pytest.approx(140)
    assert _counts(run)["transfer"] >= 140


def test_the_parameters_of_a_training_without_an_optimizer_are_those_of_what_is_used(runner: DryRunner) -> None:
    """Copies of a layer count, one that another took the place of does not: two layers of 464, and 8 x 4 + 4."""
    text = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8), 2, enable_nested_tensor=False)
        self.decoder = nn.Linear(8, 80)
        self.decoder = nn.Linear(8, 4)
net = Net().cuda()
for step in range(200):
    net.decoder(net.encoder(torch.randn(5, 3, 8, device="cuda"))).sum().backward()
    for p in net.parameters():
        p.data.add_(p.grad, alpha=-0.1)
"""
    program = DryProgram(files={"job.py": (HEAD + text).encode()}, entrypoint="job.py", content_hash="1")
    assert runner.run_program(program).parameters == 2 * 464 + 36
