"""What every part speaks of: errors, jobs and predictions, GPU types, requests, arrays and compiled kernels.

Comes in: a noun or a number that two or more folders share. It imports nothing else of kilowait.
"""
