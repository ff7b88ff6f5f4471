"""Watts and power limits that others measured on whole networks, the power model fitted to them, and its scores."""
