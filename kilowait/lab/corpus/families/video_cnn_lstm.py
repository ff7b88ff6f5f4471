"""A convolutional network reads frames and an LSTM reads the sequence; convolutions, then a serial loop."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    c, t, b, r, u = sizes(h, "channels", "frames", "batch_size", "frame_size", "lstm_units")
    pixels, n = b * t * r * r, b * t
    forward = pixels * (13.5 * c + 9 * c * c + 9 * c * c) + n * 8 * u * (4 * c + u)
    return Cost(3 * forward, pixels * c * 9 + n * u * 60 + 14 * (36 * c * c + 4 * u * (4 * c + u)), 60 * t + 240)


_SIZING = Sizing(
    cost=_cost,
    scale=1.0,
    choices={
        "channels": (8, 12, 16, 24, 32),
        "frames": (4, 6, 8, 12, 16),
        "batch_size": (2, 4, 8),
        "frame_size": (24, 32, 48, 64),
        "lstm_units": (32, 64, 128, 256),
        "lr": (3e-4, 1e-3),
    },
    steps=(45, 270),
    growth=(("batch_size", 2, 32), ("channels", 2, 64), ("lstm_units", 2, 1024), ("frame_size", 2, 128)),
)


FAMILY = Family(
    name="video_cnn_lstm",
    summary="A convolutional network reads frames and an LSTM reads the sequence; convolutions, then a serial loop.",
    imports="import torch\nimport torch.nn as nn",
    definitions='''\
class FrameEncoder(nn.Module):
    """Three strided convolutions turn a frame into a vector."""

    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 4 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, frames):
        return self.net(frames)


class VideoClassifier(nn.Module):
    """Frames first, each on its own, then time."""

    def __init__(self, channels, units, classes):
        super().__init__()
        self.frames = FrameEncoder(channels)
        self.lstm = nn.LSTM(4 * channels, units, batch_first=True)
        self.attention = nn.Linear(units, 1)
        self.head = nn.Linear(units, classes)

    def forward(self, clips):
        n, t = clips.shape[:2]
        features = self.frames(clips.flatten(0, 1)).view(n, t, -1)
        states, _ = self.lstm(features)
        weights = self.attention(states).softmax(dim=1)
        return self.head((weights * states).sum(dim=1))


class MovingSquares:
    """Clips in which a bright square moves in one of four directions; the direction is the label."""

    def __init__(self, frames, size, device):
        self.frames, self.size, self.device = frames, size, device

    def sample(self, count):
        labels = torch.randint(0, 4, (count,), device=self.device)
        clips = 0.3 * torch.randn(count, self.frames, 3, self.size, self.size, device=self.device)
        middle = self.size // 2
        clips[..., middle - 2 : middle + 2, middle - 2 : middle + 2] += 1.0
        moved = []
        for number in range(self.frames):
            still = clips[:, number]
            ways = [still.roll(number, 2), still.roll(-number, 2), still.roll(number, 3), still.roll(-number, 3)]
            stacked = torch.stack(ways, dim=1)
            moved.append(stacked[torch.arange(count, device=self.device), labels])
        return torch.stack(moved, dim=1), labels
''',
    setup="""\
S.source = MovingSquares(H.frames, H.frame_size, device)
S.clips, S.labels = S.source.sample(2 * H.batch_size)
S.model = VideoClassifier(H.channels, H.lstm_units, 4).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
S.criterion = nn.CrossEntropyLoss()
""",
    step="""\
picked = torch.randint(0, S.clips.shape[0], (H.batch_size,), device=device)
S.optimizer.zero_grad()
scores = S.model(S.clips[picked])
loss = S.criterion(scores, S.labels[picked])
loss.backward()
S.optimizer.step()
""",
    report="""\
S.model.eval()
fresh, answers = S.source.sample(H.batch_size)
with torch.no_grad():
    guesses = S.model(fresh).argmax(dim=1)
summary = (guesses == answers).float().mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)
