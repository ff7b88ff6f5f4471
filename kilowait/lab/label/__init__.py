"""Labelling campaigns: which script runs where and when, when two runs agree, the journal, the summary.

Comes in: the plan of measurements; the meter and the runner are in `kilowait.measure`.
"""
