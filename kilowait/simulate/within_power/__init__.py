"""What limits the power of jobs in a simulation: a price of limits, and a budget that is never passed."""
