"""What `kilowait advise --slurm --apply` changes in Slurm's queue: time limits and nice values, each written down."""
