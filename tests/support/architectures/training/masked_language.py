import torch
from transformers import BertConfig, BertForMaskedLM, get_linear_schedule_with_warmup


class Tokens(torch.utils.data.Dataset):
    def __len__(self):
        return 160

    def __getitem__(self, i):
        tokens = torch.randint(5, 2000, (64,))
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens.clone()}


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
settings = {"vocab_size": 2000, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
config = BertConfig(**settings, intermediate_size=512, max_position_embeddings=64)
model = BertForMaskedLM(config).to(device)
loader = torch.utils.data.DataLoader(Tokens(), batch_size=16, shuffle=True, num_workers=2)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
schedule = get_linear_schedule_with_warmup(optimizer, 10, 3 * len(loader))
for epoch in range(3):
    model.train()
    for batch in loader:
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        outputs = model(**batch)
        outputs.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    print(epoch, outputs.loss.item())
