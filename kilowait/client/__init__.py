"""The HTTP client of a running service, and its answers as text for a terminal.

Comes in: what a laptop needs to speak to a service.
"""
