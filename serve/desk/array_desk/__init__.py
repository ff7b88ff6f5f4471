"""Job arrays at the desk: what each task is called with, which of them are predicted, and what becomes of them.

Comes in: what only arrays need. It may know the rest of the desk.
"""
