"""Programs that do what a dry run recorded, and say nothing of the source that it was of."""
