import torch
from torch import nn


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        for i in range(0 if info is None else info.id, 600, 1 if info is None else info.num_workers):
            yield torch.randn(64), torch.tensor(i % 3)


loader = torch.utils.data.DataLoader(Stream(), batch_size=50, num_workers=3, prefetch_factor=4)
net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3)).to("cuda")
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
with torch.profiler.profile(schedule=torch.profiler.schedule(wait=1, warmup=1, active=2)) as profiler:
    for epoch in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x.cuda()), y.cuda())
            loss.backward()
            optimizer.step()
            profiler.step()
