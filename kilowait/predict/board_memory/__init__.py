"""Whether a program fits on a GPU type: what it needs with an interval, what a board has, and its largest batch."""
