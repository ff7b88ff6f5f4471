"""The paper's world and its relatives: arrivals, classes of jobs, models of GPU types, imperfect predictions.

Comes in: drawn or modelled input of a simulation.
"""
