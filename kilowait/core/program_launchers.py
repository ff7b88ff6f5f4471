"""What starts a program on each node of its job: Python itself, a launcher of distributed programs, or a shell."""

from typing import Literal

Launcher = Literal["python", "torchrun", "accelerate", "bash"]
"""`torchrun` and `accelerate` start a process for each GPU that the job has on a node, with the ranks and the
rendezvous of all nodes; `bash` runs a shell script, which sees MASTER_ADDR, MASTER_PORT, NNODES and NODE_RANK."""
BASH: Launcher = "bash"
PYTHON: Launcher = "python"
SHELL_SCRIPTS = (".sh", ".bash")
"""Endings of the names of what bash runs."""
