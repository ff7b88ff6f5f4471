"""Ray Tune over the domain: python -m tuning.probe, tuning.kappa."""
