"""What a program needs and is not there: data, weights, packages; stood in for, and said.

Comes in: what takes the place of something absent; how tensors without data behave is in `pretend`.
"""
