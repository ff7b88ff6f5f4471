"""How the child side of a dry run is started and spoken to, under an interpreter that need not have kilowait.

Comes in: what an interpreter with the standard library alone needs before it can load the rest of the child side.
"""
