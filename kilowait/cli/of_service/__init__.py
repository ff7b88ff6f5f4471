"""What commands that speak to the live service share, and those that have an object of their own: tokens, models.

Comes in: a command `kilowait NOUN VERB`, a module a noun, and `kilowait archive`, which needs no service but its
history. It knows the client, and no service.
"""
