"""Where a live scheduler has its signals from: files and addresses, and what holds while neither answers."""
