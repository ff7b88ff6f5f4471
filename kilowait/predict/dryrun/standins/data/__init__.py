"""Data that is not there: files, data sets and images of the right size, made of nothing.

Comes in: whatever gives rows, tokens or samples to a program.
"""
