"""Policies on many samples of a world: scenarios, traces, bounds, comparisons, and the page that shows them.

Comes in: what makes worlds to simulate and judges policies in them.
"""
