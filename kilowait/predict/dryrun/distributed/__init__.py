"""Distributed programs in a dry run: one rank of as many as were asked for, whose peers are only pretended.

Comes in: the process group, what ranks exchange, the wrappers and launchers of ranks. The process is rank 0.
"""
