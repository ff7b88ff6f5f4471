"""From vectors to metrics: probes and how they are fitted, the bundle on disk, doubt, distance to what is known.

Comes in: models on embeddings, and what a bundle of them holds.
"""
