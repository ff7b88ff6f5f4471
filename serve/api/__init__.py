"""Routes: HTTP in, wire models out. Each asks the desk.

Comes in: a route, who may ask it, and nothing that decides.
"""
