"""`kilowait advise --kueue`."""
