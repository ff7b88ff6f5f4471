"""A GPU that is only pretended: what PyTorch answers and does on tensors without data.

Comes in: a stand-in for a part of PyTorch; what is recorded is one folder up.
"""
