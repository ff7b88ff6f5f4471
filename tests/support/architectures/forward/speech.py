import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """A spectrogram, convolutions, recurrent layers, and an alignment-free loss."""

    def __init__(self, classes=30):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 32, (11, 5), (2, 2), (5, 2)), nn.BatchNorm2d(32), nn.Hardtanh(0, 20))
        self.rnn = nn.GRU(32 * 101, 256, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(512, classes)

    def forward(self, wave, targets):
        window = torch.hann_window(400, device=wave.device)
        x = torch.stft(wave, 400, 160, window=window, return_complex=True).abs().unsqueeze(1)
        x = self.conv(torch.log1p(x)).permute(0, 3, 1, 2).flatten(2)
        y, _ = self.rnn(x)
        logits = self.head(y).log_softmax(-1).transpose(0, 1)
        lengths = torch.full((len(wave),), logits.size(0), dtype=torch.long)
        return F.ctc_loss(logits, targets, lengths, torch.full((len(wave),), targets.size(1), dtype=torch.long))


def get_inputs():
    return [torch.randn(8, 32000), torch.randint(1, 30, (8, 20))]


def get_init_inputs():
    return []
