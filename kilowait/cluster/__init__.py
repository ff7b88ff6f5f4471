"""The state machine: a cluster, the events that change it, and the one function that does.

Comes in: what changes a cluster or what a change needs to know. No clock, no policy, no driver.
"""
