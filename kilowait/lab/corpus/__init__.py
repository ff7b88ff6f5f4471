"""Families of runnable PyTorch programs whose work is known and whose text varies."""
