"""Power on the command line: watts and limits that `predict` shows, limits and budgets that `simulate` takes."""
