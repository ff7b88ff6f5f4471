"""The live service on Ray: the scheduler as a named actor, and a runner actor for each attempt."""
