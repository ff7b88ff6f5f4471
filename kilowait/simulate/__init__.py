"""The event loop, scenarios and scores: the state machine driven by a list instead of a cluster."""
