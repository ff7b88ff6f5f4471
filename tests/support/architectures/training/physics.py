import torch
from torch import nn

net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)).cuda().double()
optimizer = torch.optim.LBFGS(net.parameters(), lr=1, max_iter=5, history_size=10)


def closure():
    optimizer.zero_grad()
    x = torch.rand(1000, 2, device="cuda", dtype=torch.float64, requires_grad=True)
    u = net(x)
    (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (ddu,) = torch.autograd.grad(du[:, 0].sum(), x, create_graph=True)
    loss = (du[:, 1] + u.squeeze(1) * du[:, 0] - 0.01 * ddu[:, 0]).square().mean()
    loss.backward()
    return loss


for step in range(50):
    optimizer.step(closure)
