"""What the history keeps and cannot read by itself: secrets, variables of jobs, addresses of webhooks; and the key.

Comes in: what is encrypted or signed with the operator's key. It knows the store, and nothing that runs.
"""
