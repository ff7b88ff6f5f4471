import math

import torch
import torch.nn.functional as F
from torch import nn


class LM(nn.Module):
    def __init__(self, words, width, layers):
        super().__init__()
        self.drop, self.embed = nn.Dropout(0.5), nn.Embedding(words, width)
        self.rnn, self.head = nn.LSTM(width, width, layers, dropout=0.5), nn.Linear(width, words)
        self.head.weight = self.embed.weight
        self.layers, self.width = layers, width

    def forward(self, x, hidden):
        y, hidden = self.rnn(self.drop(self.embed(x)), hidden)
        return F.log_softmax(self.head(self.drop(y)).view(-1, self.head.out_features), dim=1), hidden

    def init_hidden(self, batch):
        weight = next(self.parameters())
        return weight.new_zeros(self.layers, batch, self.width), weight.new_zeros(self.layers, batch, self.width)


def batchify(data, size):
    count = data.size(0) // size
    return data.narrow(0, 0, count * size).view(size, -1).t().contiguous().to("cuda")


train, valid = batchify(torch.randint(0, 2000, (42_020,)), 20), batchify(torch.randint(0, 2000, (7_020,)), 10)
model, lr = LM(2000, 200, 2).to("cuda"), 20.0
for epoch in range(1, 3):
    model.train()
    total, hidden = 0.0, model.init_hidden(20)
    for batch, i in enumerate(range(0, train.size(0) - 1, 35)):
        length = min(35, len(train) - 1 - i)
        data, target = train[i : i + length], train[i + 1 : i + 1 + length].reshape(-1)
        model.zero_grad()
        hidden = tuple(h.detach() for h in hidden)
        output, hidden = model(data, hidden)
        loss = F.nll_loss(output, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)
        total += loss.item()
        if batch % 20 == 0 and batch > 0:
            print(total / 20, math.exp(total / 20))
            total = 0.0
    model.eval()
    hidden = model.init_hidden(10)
    with torch.no_grad():
        for i in range(0, valid.size(0) - 1, 35):
            length = min(35, len(valid) - 1 - i)
            output, hidden = model(valid[i : i + length], hidden)
    lr /= 4.0
