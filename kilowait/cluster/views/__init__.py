"""What policies look at, kept up while a cluster changes: rankings, predicted ends, free room, scale, last jobs.

Comes in: a view that `Cluster` builds on demand and updates by itself.
"""
