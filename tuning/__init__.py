"""Ray Tune over the domain: kilowait lab tune-probe, tune-kappa."""
