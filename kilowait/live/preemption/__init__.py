"""Running jobs that give their boards back at a checkpoint."""
