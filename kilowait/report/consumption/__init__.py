"""What jobs used: GPU-hours, energy by how it was had, CO2, water and cost, from rows of a history.

Comes in: sums over attempts that have ended, what is said of them, and how it is shown. Where rows come from and what
a GPU costs is told by who asks.
"""
