"""What `kilowait advise --slurm` prints."""
