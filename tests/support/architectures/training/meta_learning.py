import torch
from torch import nn
from torch.func import functional_call, grad, vmap

net = torch.nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)).cuda()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)


def loss_of(parameters, x, y):
    return ((functional_call(net, parameters, (x,)) - y) ** 2).mean()


def outer(x, y, u, v):
    parameters = dict(net.named_parameters())
    gradients = grad(loss_of)(parameters, x, y)
    adapted = {name: p - 0.1 * gradients[name] for name, p in parameters.items()}
    return loss_of(adapted, u, v)


for step in range(100):
    amplitude = torch.rand(25, 1, 1, device="cuda")
    x, u = torch.rand(25, 10, 1, device="cuda"), torch.rand(25, 10, 1, device="cuda")
    loss = vmap(outer)(x, amplitude * x.sin(), u, amplitude * u.sin()).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
