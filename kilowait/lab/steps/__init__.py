"""Steps that others measured: rows of times, the programs they are of, and how well these are predicted.

The times are measured by their sources; what is predicted of them is modelled.
"""
