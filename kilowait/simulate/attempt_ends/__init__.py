"""The ends of running attempts in a simulation."""
