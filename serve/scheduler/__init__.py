"""The scheduler as one named Ray actor: nodes, claim on the history, requests to Ray's autoscaler.

Comes in: what runs inside the actor.
"""
