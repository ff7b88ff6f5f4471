"""Slurm's queue by slurmrestd, Slurm's own HTTP server, in place of its commands."""
