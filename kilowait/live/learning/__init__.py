"""The loop of learning: finished jobs beside their base predictions, a candidate, its comparison, promotion, drift.

observed.py reads the history, compare.py splits it by time and scores, refit.py makes a candidate and promotes it if it
is better, drift.py says when that is due. Neither Ray nor a clock: times are arguments.
"""
