"""Notices at the desk: what is worth telling is read off the log, kept, and told until somebody has taken it.

Comes in: what only notices need. It may know the rest of the desk.
"""
