"""One module a family, each with its FAMILY."""
