"""What operators order of a live cluster while it runs: quotas of projects and users, maintenance of nodes."""
