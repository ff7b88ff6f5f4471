"""Packages that a job can do without in a dry run, or whose work is told by their names.

Comes in: a stand-in for an installable package; data sets and models are in `data` and `weights`.
"""
