"""The live scheduler without Ray: the controller, the mirror of its log, the ratings it went by, and learning.

Comes in: what a running service does that needs neither Ray nor HTTP.
"""
