"""Train the small BERT of model.py, as config.yaml says, to guess hidden words of made-up sentences.

kilowait predict --entrypoint train.py examples/bert -- --config config.yaml
cd examples/bert && python train.py --config config.yaml --steps 2 --batch-size 2
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from model import Bert

HIDDEN_SHARE = 0.15
HIDDEN_WORD = 0


def main() -> None:
    """Train and print the loss now and then."""
    parser = argparse.ArgumentParser(description="Train a small BERT on made-up sentences.")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"))
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--batch-size", type=int, help="instead of the configuration's")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    steps = args.steps or config["steps"]
    batch_size = args.batch_size or config["batch_size"]

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    shape = {name: config[name] for name in ("words", "length", "width", "layers", "heads")}
    model = Bert(**shape).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    for step in range(steps):
        sentences = torch.randint(1, config["words"], (batch_size, config["length"]), device=device)
        hidden = torch.rand(sentences.shape, device=device) < HIDDEN_SHARE
        scores = model(sentences.masked_fill(hidden, HIDDEN_WORD))
        losses = F.cross_entropy(scores.flatten(0, 1), sentences.flatten(), reduction="none")
        loss = (losses * hidden.flatten()).sum() / hidden.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step + 1}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
