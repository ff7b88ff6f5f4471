"""From source to vector: the packaged language model, its layers and windows, literals, feature configurations.

Comes in: what reads text into numbers by a language model.
"""
