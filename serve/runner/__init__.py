"""Runners: the actors that hold the GPUs of attempts and run jobs under a meter.

Comes in: what happens on the node of a job.
"""
