"""Source to prediction: embedding, probes and the bundle that holds them."""
