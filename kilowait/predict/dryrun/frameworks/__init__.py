"""Training loops that live in installed packages: shortened as the program's own are.

Comes in: which functions of which packages are such loops, and what a package needs besides.
"""
