"""Tests, in folders as the packages that they test; what they share is in `tests.support`."""
