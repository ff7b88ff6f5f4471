"""A variational autoencoder with dense layers; small matrix products and launches."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    x, u, z, b, n = sizes(h, "features", "hidden", "latent_dim", "batch_size", "hidden_layers")
    params = 2 * x * u + 2 * n * u * u + 3 * u * z
    return Cost(6 * b * params, b * (30 * x + 24 * n * u) + 16 * params, 40 * n + 200)


_SIZING = Sizing(
    cost=_cost,
    scale=1.0,
    choices={
        "features": (64, 196, 400, 784),
        "hidden": (32, 64, 128, 256, 400),
        "latent_dim": (2, 8, 16, 32),
        "hidden_layers": (1, 2, 3),
        "batch_size": (16, 32, 64, 128, 256),
        "beta": (0.5, 1.0, 4.0),
        "lr": (5e-4, 1e-3, 2e-3),
    },
    steps=(39, 230),
    growth=(("batch_size", 2, 4096), ("hidden", 2, 4096), ("hidden_layers", 2, 6)),
)


FAMILY = Family(
    name="vae_dense",
    summary="A variational autoencoder with dense layers; small matrix products and launches.",
    imports=_IMPORTS,
    definitions='''\
def dense_stack(inputs, width, count):
    """Linear layers with ELU in between."""
    layers = []
    for _ in range(count):
        layers += [nn.Linear(inputs, width), nn.ELU()]
        inputs = width
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Data to mean and log-variance of the latent code."""

    def __init__(self, features, width, count, latent):
        super().__init__()
        self.body = dense_stack(features, width, count)
        self.mean = nn.Linear(width, latent)
        self.log_variance = nn.Linear(width, latent)

    def forward(self, x):
        x = self.body(x)
        return self.mean(x), self.log_variance(x).clamp(-8.0, 8.0)


class VAE(nn.Module):
    def __init__(self, features, width, count, latent):
        super().__init__()
        self.encoder = Encoder(features, width, count, latent)
        self.decoder = nn.Sequential(dense_stack(latent, width, count), nn.Linear(width, features))

    def sample_code(self, mean, log_variance):
        return mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)

    def forward(self, x):
        mean, log_variance = self.encoder(x)
        return self.decoder(self.sample_code(mean, log_variance)), mean, log_variance


def kl_divergence(mean, log_variance):
    """Distance of the code from a standard normal, a sum over its dimensions."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()


def make_patterns(count, features, device):
    """Binary data with a few hidden causes."""
    causes = (torch.rand(count, 10, device=device) < 0.3).float()
    weights = torch.randn(10, features, device=device)
    return (torch.sigmoid(causes @ weights) > 0.6).float()


def negative_elbo(model, x, beta):
    """Reconstruction error and divergence of one batch."""
    restored, mean, log_variance = model(x)
    error = F.binary_cross_entropy_with_logits(restored, x, reduction="sum") / x.shape[0]
    return error + beta * kl_divergence(mean, log_variance)
''',
    setup="""\
S.data = make_patterns(10 * H.batch_size, H.features, device)
S.model = VAE(H.features, H.hidden, H.hidden_layers, H.latent_dim).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
""",
    step="""\
x = S.data[torch.randint(0, S.data.shape[0], (H.batch_size,), device=device)]
loss = negative_elbo(S.model, x, H.beta)
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    code = torch.randn(H.batch_size, H.latent_dim, device=device)
    drawn = torch.sigmoid(S.model.decoder(code))
    print("mean brightness of new samples:", round(drawn.mean().item(), 4))
    summary = negative_elbo(S.model, S.data[: H.batch_size], H.beta).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)
