"""What the page draws, put together from the cluster, its history and what is planned: bounded, whatever there is."""
