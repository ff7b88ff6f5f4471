"""Slurm as its users see it: options and scripts of sbatch, partitions, the queue, the accounting; read-only."""
