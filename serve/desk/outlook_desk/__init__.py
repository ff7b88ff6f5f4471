"""What is expected of the jobs that wait, remembered for all who ask."""
