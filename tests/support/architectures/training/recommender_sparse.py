import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(50_000, 64, sparse=True), nn.Embedding(20_000, 64, sparse=True)
        self.mlp = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, user, item):
        return self.mlp(torch.cat([self.users(user), self.items(item)], -1)).squeeze(-1)


model = Model().to("cuda")
sparse = torch.optim.SparseAdam([*model.users.parameters(), *model.items.parameters()], lr=1e-3)
dense = torch.optim.Adagrad(model.mlp.parameters(), lr=1e-2)
for step in range(300):
    user, item = torch.randint(0, 50_000, (1024,), device="cuda"), torch.randint(0, 20_000, (1024,), device="cuda")
    label = torch.rand(1024, device="cuda").round()
    loss = F.binary_cross_entropy_with_logits(model(user, item), label)
    sparse.zero_grad()
    dense.zero_grad()
    loss.backward()
    sparse.step()
    dense.step()
