"""What a program runs over item by item and without a list: `enumerate`, `zip` and generators of its own."""
