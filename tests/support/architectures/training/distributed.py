import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler


class Features(torch.utils.data.Dataset):
    def __len__(self):
        return 256

    def __getitem__(self, i):
        return torch.randn(256), torch.tensor(i % 8)


def main():
    dist.init_process_group(backend="nccl", init_method="env://")
    local = int(os.environ.get("LOCAL_RANK", 0))
    torch.cuda.set_device(local)
    net = nn.Sequential(nn.Linear(256, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 8)).cuda(local)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    model = DistributedDataParallel(net, device_ids=[local], output_device=local, find_unused_parameters=True)
    data = Features()
    sampler = DistributedSampler(data, shuffle=True)
    loader = torch.utils.data.DataLoader(data, batch_size=64, sampler=sampler, num_workers=2, pin_memory=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        for i, (x, y) in enumerate(loader):
            x, y = x.to(local, non_blocking=True), y.to(local, non_blocking=True)
            if i % 2 == 0:
                with model.no_sync():
                    F.cross_entropy(model(x), y).backward()
                continue
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        total = loss.detach().clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        dist.barrier()
        if dist.get_rank() == 0:
            print(epoch, (total / dist.get_world_size()).item())
            torch.save(model.module.state_dict(), f"epoch{epoch}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
