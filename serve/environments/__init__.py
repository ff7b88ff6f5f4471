"""Environments that are built from what users ask for: requirements in, a Python with these packages out.

Comes in: what reads requirements, builds with uv, and keeps what was built.
"""
