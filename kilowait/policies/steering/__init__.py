"""A price that steers itself: waiting is held at a target against a shadow run of another policy."""
