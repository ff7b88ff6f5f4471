"""Measurements of kilowait: each module is a command (`python -m benchmarks.NAME`) that prints ratios to a baseline."""
