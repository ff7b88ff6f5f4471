"""Ablation of alignment on twins: `python -m pipelines.alignment --help`."""
