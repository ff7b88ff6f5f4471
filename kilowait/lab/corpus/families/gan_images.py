"""A generator and a discriminator train against each other on small images; two networks in turn."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    z, g, d, b = sizes(h, "latent", "gen_maps", "disc_maps", "batch_size")
    making = b * (32 * 16 * z * 4 * g + 32 * 64 * 8 * g * g + 32 * 256 * 2 * g * g + 32 * 1024 * 0.75 * g)
    judging = b * (32 * 256 * 3 * d + 32 * 64 * 2 * d * d + 32 * 16 * 8 * d * d + 32 * 16 * 4 * d)
    return Cost(
        3.6 * making + 8.5 * judging,
        b * (3000 * g + 9000 * d) * 4 + 14 * (16 * 10 * (g * g + d * d) + 64 * z * g),
        900,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=2.2,
    choices={
        "latent": (16, 32, 64, 100),
        "gen_maps": (4, 8, 12, 16, 24, 32),
        "disc_maps": (4, 8, 12, 16, 24, 32),
        "batch_size": (4, 8, 16, 32),
        "lr_generator": (1e-4, 2e-4),
        "lr_discriminator": (1e-4, 4e-4),
    },
    steps=(20, 120),
    growth=(("batch_size", 2, 256), ("gen_maps", 2, 128), ("disc_maps", 2, 128)),
)


FAMILY = Family(
    name="gan_images",
    summary="A generator and a discriminator train against each other on small images; two networks in turn.",
    imports=_IMPORTS,
    definitions='''\
def init_weights(module):
    """Small normal weights, as is usual for this kind of network."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)


class Generator(nn.Module):
    """Noise to a 32x32 image in four transposed convolutions."""

    def __init__(self, latent, maps):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(latent, 4 * maps, 4, bias=False),
            nn.BatchNorm2d(4 * maps),
            nn.ReLU(True),
            nn.ConvTranspose2d(4 * maps, 2 * maps, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * maps),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * maps, maps, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(True),
            nn.ConvTranspose2d(maps, 3, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise):
        return self.main(noise[:, :, None, None])


class Discriminator(nn.Module):
    """An image to one logit: real or made."""

    def __init__(self, maps):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, maps, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(maps, 2 * maps, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * maps, 4 * maps, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * maps, 1, 4),
        )

    def forward(self, images):
        return self.main(images).flatten()


def real_images(count, device):
    """Soft random blobs that stand for photographs."""
    coarse = torch.rand(count, 3, 8, 8, device=device) * 2 - 1
    return F.interpolate(coarse, size=32, mode="bilinear", align_corners=False)
''',
    setup="""\
S.generator = Generator(H.latent, H.gen_maps).to(device)
S.discriminator = Discriminator(H.disc_maps).to(device)
S.generator.apply(init_weights)
S.discriminator.apply(init_weights)
S.opt_g = torch.optim.Adam(S.generator.parameters(), lr=H.lr_generator, betas=(0.5, 0.999))
S.opt_d = torch.optim.Adam(S.discriminator.parameters(), lr=H.lr_discriminator, betas=(0.5, 0.999))
""",
    step="""\
real = real_images(H.batch_size, device)
fake = S.generator(torch.randn(H.batch_size, H.latent, device=device))

# Discriminator: real images up, made ones down.
S.opt_d.zero_grad()
loss_d = F.softplus(-S.discriminator(real)).mean() + F.softplus(S.discriminator(fake.detach())).mean()
loss_d.backward()
S.opt_d.step()

# Generator: made images up.
S.opt_g.zero_grad()
loss_g = F.softplus(-S.discriminator(fake)).mean()
loss_g.backward()
S.opt_g.step()
loss = (loss_d + loss_g).detach()
""",
    report="""\
with torch.no_grad():
    made = S.generator(torch.randn(H.batch_size, H.latent, device=device))
summary = made.std().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)
