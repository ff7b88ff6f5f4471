"""What `ray job submit` is given beside a command: GPUs and the types of nodes on which it fits.

Comes in: what asks a cluster by its dashboard's HTTP, and what makes options of it. Ray itself is never imported.
"""
