"""Job arrays on the command line: what is asked for, and how one of their tasks is named.

Comes in: what several commands need of arrays. It knows the client, and no service.
"""
