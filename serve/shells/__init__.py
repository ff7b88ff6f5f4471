"""Shells: interactive jobs with a terminal, typed into over HTTP by their owners alone.

Comes in: what is only there for jobs with a terminal.
"""
