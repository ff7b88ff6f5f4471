"""Watts of a program on a board, what a power limit does to its time and watts, and joules; all of it modelled."""
