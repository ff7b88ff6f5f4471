"""Loops of a program in a dry run: few items are run, under weights that stand for all of them.

Comes in: the rewriting of loops and what runs in their place.
"""
