import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.mu, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.b, self.c = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.a(x.view(-1, 784)))
        mu, log_variance = self.mu(h), self.log_variance(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * log_variance)
        y = torch.sigmoid(self.c(F.relu(self.b(z))))
        kl = -0.5 * torch.sum(1 + log_variance - mu.pow(2) - log_variance.exp())
        return F.binary_cross_entropy(y, x.view(-1, 784).sigmoid(), reduction="sum") + kl


def get_inputs():
    return [torch.randn(128, 1, 28, 28)]


def get_init_inputs():
    return []
