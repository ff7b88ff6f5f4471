"""Jobs that wait for better hours, for people."""
