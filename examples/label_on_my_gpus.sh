#!/usr/bin/env bash
# Label and train on this machine's GPUs: write scripts, measure each, train a predictor, predict with it.
#
#   examples/label_on_my_gpus.sh                                  520 scripts for GPUs, into out/mine
#   COUNT=40 SCALE=cpu OUT=out/try examples/label_on_my_gpus.sh   a try-out on the CPU
#
# Stop it whenever you like: each command goes on where it was stopped. Keep the machine otherwise idle.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-out/mine}
COUNT=${COUNT:-520}
SCALE=${SCALE:-gpu}
PYTHON=${PYTHON:-.venv/bin/python}

"$PYTHON" -m pipelines.corpus --out "$OUT/corpus" --count "$COUNT" --scale "$SCALE"
"$PYTHON" -m pipelines.label --corpus "$OUT/corpus" --out "$OUT/labels"
"$PYTHON" -m pipelines.embed --corpus "$OUT/corpus" --out "$OUT/embeddings" --pooling mean,numbers --layer 6
"$PYTHON" -m pipelines.train --labels "$OUT/labels/labels.parquet" --embeddings "$OUT/embeddings" \
    --corpus "$OUT/corpus" --out "$OUT/model" --bundle-out "$OUT/bundle"
"$PYTHON" -m pipelines.devices --corpus "$OUT/corpus" --labels "$OUT/labels/labels.parquet" \
    --out "$OUT/bundle/operations"
"$PYTHON" -m kilowait predict examples/train_resnet.py --bundle "$OUT/bundle"
