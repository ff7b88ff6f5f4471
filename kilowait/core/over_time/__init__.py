"""What changes over time and what is due in it: signals, the prices that weigh them, deadlines."""
