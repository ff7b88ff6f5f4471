"""How much memory a program needs on its device, from the tensors that it makes and lets go.

Comes in: the caching allocator, what kernels take beside their results, and who follows the tensors.
"""
