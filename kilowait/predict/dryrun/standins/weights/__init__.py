"""Models that would be downloaded: built from their published configuration, with weights that hold no data.

Comes in: whatever reads a pre-trained model, its tokenizer or its checkpoint.
"""
