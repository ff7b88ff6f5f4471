"""Steps as a profiler recorded them: read, rebuilt from their dependencies, told apart and scaled.

What comes in is a file of PyTorch's profiler; nothing here runs a program.
"""
