"""Signing in to the page by an OpenID Connect provider: what it is asked, and what its answers are worth."""
