import torch
import torch.nn.functional as F
from torch import nn

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
torch.set_float32_matmul_precision("high")


class Model(nn.Module):
    """Tensors and modules that are made on the GPU, and a clock around them."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(256, 256, device=device)
        self.b = nn.Linear(256, 256).cuda()
        self.place = torch.zeros(1, 256).to("cuda")

    def forward(self, x):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        with torch.cuda.stream(torch.cuda.Stream()), torch.cuda.device(0):
            y = self.b(F.relu(self.a(x + self.place)))
        end.record()
        torch.cuda.synchronize()
        start.elapsed_time(end)
        return y


def get_inputs():
    return [torch.randn(512, 256, device="cuda")]


def get_init_inputs():
    return []
