import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence


class Texts(torch.utils.data.Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return torch.randint(1, 500, (20 + i % 7,)), i % 2


def collate(batch):
    texts, labels = zip(*batch)
    lengths = torch.tensor([len(t) for t in texts])
    return pad_sequence(texts, batch_first=True), lengths, torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = (
            nn.Embedding(500, 64, padding_idx=0),
            nn.GRU(64, 64, batch_first=True, bidirectional=True),
        )
        self.head = nn.Linear(128, 1)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embed(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, h = self.rnn(packed)
        return self.head(torch.cat([h[0], h[1]], 1)).squeeze(1)


if __name__ == "__main__":
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Classifier().to(device)
    optimizer, criterion = torch.optim.Adam(model.parameters()), nn.BCEWithLogitsLoss()
    train = torch.utils.data.DataLoader(Texts(700), batch_size=70, collate_fn=collate, shuffle=True, num_workers=2)
    for epoch in range(5):
        right = 0
        for texts, lengths, labels in train:
            texts, labels = texts.to(device), labels.float().to(device)
            optimizer.zero_grad()
            output = model(texts, lengths.to(device))
            loss = criterion(output, labels)
            loss.backward()
            optimizer.step()
            right += ((output > 0) == labels.bool()).sum().item()
        print(epoch, right / len(train.dataset))
