"""What signals said, and what attempts came to by them."""
