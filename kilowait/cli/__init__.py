"""The `kilowait` command, one module a command. Heavy modules load inside the command that needs them.

Comes in: options, help and printing; the work is done elsewhere.
"""
