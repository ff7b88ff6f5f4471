"""How a job is started: the command line, shell script or notebook that leads to its program.

Comes in: what a launcher's words mean. Read from the text alone; nothing is executed.
"""
