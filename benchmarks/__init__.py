"""What measures kilowait: each module is a command (`python -m benchmarks.NAME`) that prints ratios against a baseline."""
