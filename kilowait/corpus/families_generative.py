"""Programs that generate, restore or compare: adversarial, variational, diffusion, denoising, contrastive.

Limits covered: two networks in turn (GAN), small layers bound by launches (VAE), a denoiser called at random noise
levels and then step by step (diffusion), wide matrix products (denoising), two views and all pairs (contrastive).
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _gan_cost(h: Hyperparameters) -> Cost:
    z, g, d, b = sizes(h, "latent", "gen_maps", "disc_maps", "batch_size")
    making = b * (32 * 16 * z * 4 * g + 32 * 64 * 8 * g * g + 32 * 256 * 2 * g * g + 32 * 1024 * 0.75 * g)
    judging = b * (32 * 256 * 3 * d + 32 * 64 * 2 * d * d + 32 * 16 * 8 * d * d + 32 * 16 * 4 * d)
    return Cost(
        3.6 * making + 8.5 * judging,
        b * (3000 * g + 9000 * d) * 4 + 14 * (16 * 10 * (g * g + d * d) + 64 * z * g),
        900,
    )


_GAN_SIZING = Sizing(
    cost=_gan_cost,
    scale=2.2,
    choices={
        "latent": (16, 32, 64, 100),
        "gen_maps": (4, 8, 12, 16, 24, 32),
        "disc_maps": (4, 8, 12, 16, 24, 32),
        "batch_size": (4, 8, 16, 32),
        "lr_generator": (1e-4, 2e-4),
        "lr_discriminator": (1e-4, 4e-4),
    },
    steps=(3, 60),
    growth=(("batch_size", 2, 256), ("gen_maps", 2, 128), ("disc_maps", 2, 128)),
)

_GAN = Family(
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
    draw=_GAN_SIZING.draw,
    enlarge=_GAN_SIZING.enlarge,
    seconds=_GAN_SIZING.seconds,
)


def _vae_cost(h: Hyperparameters) -> Cost:
    x, u, z, b, n = sizes(h, "features", "hidden", "latent_dim", "batch_size", "hidden_layers")
    params = 2 * x * u + 2 * n * u * u + 3 * u * z
    return Cost(6 * b * params, b * (30 * x + 24 * n * u) + 16 * params, 40 * n + 200)


_VAE_SIZING = Sizing(
    cost=_vae_cost,
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
    steps=(20, 600),
    growth=(("batch_size", 2, 4096), ("hidden", 2, 4096), ("hidden_layers", 2, 6)),
)

_VAE = Family(
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
    draw=_VAE_SIZING.draw,
    enlarge=_VAE_SIZING.enlarge,
    seconds=_VAE_SIZING.seconds,
)


def _diffusion_cost(h: Hyperparameters) -> Cost:
    # Sampling happens once, after the loop: it is spread here over the steps of a typical draw.
    c, n, b, r, k = sizes(h, "channels", "num_blocks", "batch_size", "image_size", "sampling_steps")
    pixels, drawn = b * r * r, k / 15
    forward = pixels * (2 * 9 * 6 * c + n * 36 * c * c)
    return Cost(forward * (3 + drawn), pixels * c * n * (34 + 10 * drawn), 170 * n + 110 + 50 * n * drawn)


_DIFFUSION_SIZING = Sizing(
    cost=_diffusion_cost,
    scale=1.55,
    choices={
        "channels": (8, 16, 24, 32, 48),
        "num_blocks": (1, 2, 3, 4),
        "batch_size": (2, 4, 8, 16),
        "image_size": (12, 16, 24, 32),
        "noise_levels": (50, 100, 200, 1000),
        "sampling_steps": (3, 5, 10),
        "lr": (1e-4, 2e-4, 1e-3),
    },
    steps=(3, 60),
    growth=(("batch_size", 2, 128), ("channels", 2, 128), ("image_size", 2, 64), ("num_blocks", 2, 8)),
)

_DIFFUSION = Family(
    name="diffusion_model",
    summary="A denoiser learns to undo noise and then draws samples step by step; convolutions and a serial loop.",
    imports="import math\n\n" + _IMPORTS,
    definitions='''\
def time_embedding(levels, dim):
    """Sines and cosines of the noise level."""
    half = dim // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, device=levels.device) / half)
    angles = levels[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimedBlock(nn.Module):
    """A residual block that is told the noise level."""

    def __init__(self, channels):
        super().__init__()
        self.norm1 = nn.GroupNorm(4, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(channels, channels)
        self.norm2 = nn.GroupNorm(4, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, when):
        out = self.conv1(F.silu(self.norm1(x))) + self.time(when)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(out)))


class Denoiser(nn.Module):
    def __init__(self, channels, blocks):
        super().__init__()
        self.channels = channels
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList([TimedBlock(channels) for _ in range(blocks)])
        self.leave = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x, levels):
        when = time_embedding(levels, self.channels)
        x = self.enter(x)
        for block in self.blocks:
            x = block(x, when)
        return self.leave(F.silu(x))


def signal_schedule(count, device):
    """Share of signal that is left at each noise level, by a cosine."""
    t = torch.linspace(0, 1, count, device=device)
    return torch.cos(0.5 * math.pi * (0.01 + 0.98 * t)) ** 2


@torch.no_grad()
def draw_samples(model, signal, shape, count, device):
    """From pure noise to images in `count` deterministic steps."""
    x = torch.randn(shape, device=device)
    levels = torch.linspace(signal.shape[0] - 1, 0, count, device=device).long()
    for i in range(count):
        now = signal[levels[i]]
        after = signal[levels[i + 1]] if i + 1 < count else torch.ones((), device=device)
        noise = model(x, levels[i].repeat(shape[0]))
        clean = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        x = after.sqrt() * clean + (1 - after).sqrt() * noise
    return x
''',
    setup="""\
S.images = torch.rand(4 * H.batch_size, 3, H.image_size, H.image_size, device=device) * 2 - 1
S.signal = signal_schedule(H.noise_levels, device)
S.model = Denoiser(H.channels, H.num_blocks).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr)
""",
    step="""\
clean = S.images[torch.randint(0, S.images.shape[0], (H.batch_size,), device=device)]
levels = torch.randint(0, H.noise_levels, (H.batch_size,), device=device)
share = S.signal[levels].view(-1, 1, 1, 1)
noise = torch.randn_like(clean)
predicted = S.model(share.sqrt() * clean + (1 - share).sqrt() * noise, levels)
loss = F.mse_loss(predicted, noise)
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
shape = (H.batch_size, 3, H.image_size, H.image_size)
samples = draw_samples(S.model, S.signal, shape, H.sampling_steps, device)
summary = samples.std().item()
""",
    draw=_DIFFUSION_SIZING.draw,
    enlarge=_DIFFUSION_SIZING.enlarge,
    seconds=_DIFFUSION_SIZING.seconds,
)


def _denoise_cost(h: Hyperparameters) -> Cost:
    x, u, b, n = sizes(h, "window", "width", "batch_size", "depth")
    params = 2 * x * u + 1.5 * n * u * u
    return Cost(6 * b * params, b * (70 * x + 30 * n * u) + 10 * params, 60 * n + 160)


_DENOISE_SIZING = Sizing(
    cost=_denoise_cost,
    scale=0.9,
    choices={
        "window": (256, 512, 1024, 2048),
        "width": (128, 256, 512, 768, 1024),
        "depth": (1, 2, 3),
        "batch_size": (16, 32, 64, 128, 256),
        "noise_std": (0.1, 0.3, 0.5),
        "lr": (0.001, 0.003, 0.01),
    },
    steps=(4, 120),
    growth=(("batch_size", 2, 8192), ("width", 2, 8192), ("window", 2, 8192)),
)

_DENOISE = Family(
    name="denoising_autoencoder",
    summary="An autoencoder cleans windows of a noisy signal; wide matrix products.",
    imports="import math\n\nimport torch\nimport torch.nn as nn",
    definitions='''\
class GatedLayer(nn.Module):
    """A linear layer whose output is gated by a part of itself."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x):
        y = self.norm(self.linear(x))
        return y * torch.sigmoid(y)


class SignalAutoencoder(nn.Module):
    """A window of samples goes through a bottleneck of half the width and back."""

    def __init__(self, window, width, depth):
        super().__init__()
        narrow = width // 2
        down = [GatedLayer(window, width)] + [GatedLayer(width, width) for _ in range(depth - 1)]
        up = [GatedLayer(narrow, width)] + [GatedLayer(width, width) for _ in range(depth - 1)]
        self.encoder = nn.Sequential(*down, nn.Linear(width, narrow))
        self.decoder = nn.Sequential(*up, nn.Linear(width, window))

    def forward(self, noisy):
        return self.decoder(self.encoder(noisy))


class SignalSource:
    """Windows of two sine waves with random pitch, and the same with noise and gaps."""

    def __init__(self, window, noise_std, device):
        self.time = torch.linspace(0, 1, window, device=device)
        self.noise_std = noise_std
        self.device = device

    def clean(self, count):
        pitch = 2 + 30 * torch.rand(count, 2, 1, device=self.device)
        phase = 2 * math.pi * torch.rand(count, 2, 1, device=self.device)
        return torch.sin(2 * math.pi * pitch * self.time + phase).mean(dim=1)

    def spoil(self, clean):
        noisy = clean + self.noise_std * torch.randn_like(clean)
        return noisy * (torch.rand_like(clean) > 0.1)


def signal_to_noise(restored, clean):
    """In decibels."""
    error = (restored - clean).pow(2).mean().item()
    return 10 * math.log10(clean.pow(2).mean().item() / max(error, 1e-12))
''',
    setup="""\
S.source = SignalSource(H.window, H.noise_std, device)
S.model = SignalAutoencoder(H.window, H.width, H.depth).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9)
S.criterion = nn.SmoothL1Loss()
""",
    step="""\
clean = S.source.clean(H.batch_size)
noisy = S.source.spoil(clean)
S.optimizer.zero_grad()
restored = S.model(noisy)
loss = S.criterion(restored, clean)
loss.backward()
S.optimizer.step()
""",
    report="""\
held_out = S.source.clean(H.batch_size)
with torch.no_grad():
    restored = S.model(S.source.spoil(held_out))
summary = signal_to_noise(restored, held_out)
""",
    draw=_DENOISE_SIZING.draw,
    enlarge=_DENOISE_SIZING.enlarge,
    seconds=_DENOISE_SIZING.seconds,
)


def _contrast_cost(h: Hyperparameters) -> Cost:
    c, p, b, r = sizes(h, "width", "projection_dim", "pairs", "crop")
    pixels = 2 * b * r * r
    forward = pixels * (54 * c + 9 * c * c + 9 * c * c) + 4 * b * (32 * c * c + 8 * c * p) + 8 * b * b * p
    return Cost(3 * forward, pixels * c * 36 + 60 * b * b + 14 * 100 * c * c, 330)


_CONTRAST_SIZING = Sizing(
    cost=_contrast_cost,
    scale=1.35,
    choices={
        "width": (8, 12, 16, 24, 32),
        "projection_dim": (32, 64, 128),
        "pairs": (8, 16, 32, 64, 128),
        "crop": (16, 20, 24, 32),
        "temperature": (0.1, 0.2, 0.5),
        "lr": (0.01, 0.03, 0.1),
    },
    steps=(3, 50),
    growth=(("pairs", 2, 512), ("width", 2, 64), ("crop", 2, 64)),
)

_CONTRAST = Family(
    name="contrastive_pairs",
    summary="Two views of an image are drawn together and all others apart; convolutions and all-pairs products.",
    imports="import random\n\n" + _IMPORTS,
    definitions='''\
class ViewMaker:
    """Random crop, flip, brightness and noise; the same crop for a whole batch."""

    def __init__(self, crop):
        self.crop = crop

    def __call__(self, images):
        space = images.shape[-1] - self.crop + 1
        top, left = random.randrange(space), random.randrange(space)
        view = images[:, :, top : top + self.crop, left : left + self.crop]
        if random.random() < 0.5:
            view = view.flip(3)
        light = 0.8 + 0.4 * torch.rand(view.shape[0], 1, 1, 1, device=view.device)
        return view * light + 0.05 * torch.randn_like(view)


class Backbone(nn.Module):
    """A short convolutional encoder: three stages, then the mean over space."""

    def __init__(self, width):
        super().__init__()
        layers, inputs = [], 3
        for stage in range(3):
            outputs = width * 2**stage
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=1 if stage == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


class ContrastiveModel(nn.Module):
    def __init__(self, width, projection_dim):
        super().__init__()
        self.backbone = Backbone(width)
        self.project = nn.Sequential(
            nn.Linear(4 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, projection_dim)
        )

    def forward(self, x):
        return F.normalize(self.project(self.backbone(x)), dim=1)


def nt_xent(first, second, temperature):
    """Cross entropy in which the other view of the same image is the right answer."""
    n = first.shape[0]
    both = torch.cat([first, second])
    similarity = both @ both.t() / temperature
    own = torch.eye(2 * n, dtype=torch.bool, device=both.device)
    similarity = similarity.masked_fill(own, -1e9)
    answers = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(both.device)
    return F.cross_entropy(similarity, answers)
''',
    setup="""\
S.images = torch.rand(3 * H.pairs, 3, H.crop + 4, H.crop + 4, device=device)
S.views = ViewMaker(H.crop)
S.model = ContrastiveModel(H.width, H.projection_dim).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9, weight_decay=1e-4)
""",
    step="""\
picked = torch.randperm(S.images.shape[0], device=device)[: H.pairs]
originals = S.images[picked]
S.optimizer.zero_grad()
# One pass for both views.
codes = S.model(torch.cat([S.views(originals), S.views(originals)]))
loss = nt_xent(codes[: H.pairs], codes[H.pairs :], H.temperature)
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    kept = S.images[: H.pairs]
    alignment = (S.model(S.views(kept)) * S.model(S.views(kept))).sum(dim=1).mean()
summary = alignment.item()
""",
    draw=_CONTRAST_SIZING.draw,
    enlarge=_CONTRAST_SIZING.enlarge,
    seconds=_CONTRAST_SIZING.seconds,
)


FAMILIES: tuple[Family, ...] = (_GAN, _VAE, _DIFFUSION, _DENOISE, _CONTRAST)
"""The generative and contrastive families in the order in which the corpus lists them."""
