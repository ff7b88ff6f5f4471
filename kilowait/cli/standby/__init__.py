"""A process that a prediction leaves behind for some minutes: the next one of the same user starts in it."""
