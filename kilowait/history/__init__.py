"""The durable history of a live scheduler, in SQLite or PostgreSQL: events, jobs, attempts, models, tokens, the lease.

Comes in: everything that reads or writes the database, and nothing that decides.
"""
