"""What a program would do: its operations, counted by running it on tensors that hold no data."""
