"""Job arrays: which tasks there are, what each is called with, and what is asked for them together.

Comes in: what is the same for whoever asks, takes in and runs an array. It imports nothing of kilowait but core.
"""
