"""Ablation of alignment on twins: `kilowait lab alignment --help`."""
