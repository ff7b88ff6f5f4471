"""What Slurm, checks and others call: a job script or a command in, an `Advice` out, and thin faces for each.

Everything here asks what predicts already: this process, or the service that KILOWAIT_URL names. Nothing heavy loads
before a program has been read.
"""
