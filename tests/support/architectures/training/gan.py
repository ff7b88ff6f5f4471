import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.ConvTranspose2d(64, 128, 4, 1, 0), nn.BatchNorm2d(128), nn.ReLU(True),
            nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z):
        return self.net(z)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2, True),
            nn.Flatten(), nn.Linear(128 * 16, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


def penalty(critic, real, fake):
    share = torch.rand(real.size(0), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    scores = critic(between)
    (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True, retain_graph=True)
    return 10 * ((gradient.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()


device = torch.device("cuda:0")
generator, critic = Generator().to(device), Critic().to(device)
a = torch.optim.Adam(generator.parameters(), 1e-4, betas=(0.0, 0.9))
b = torch.optim.Adam(critic.parameters(), 1e-4, betas=(0.0, 0.9))
images = torch.utils.data.TensorDataset(torch.randn(3200, 3, 16, 16))
for epoch in range(4):
    for i, (real,) in enumerate(torch.utils.data.DataLoader(images, batch_size=64, shuffle=True, drop_last=True)):
        real = real.to(device)
        noise = torch.randn(64, 64, 1, 1, device=device)
        b.zero_grad()
        fake = generator(noise).detach()
        loss = critic(fake).mean() - critic(real).mean() + penalty(critic, real, fake)
        loss.backward()
        b.step()
        if i % 5 == 0:
            a.zero_grad()
            (-critic(generator(noise)).mean()).backward()
            a.step()
