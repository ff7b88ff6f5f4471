"""Worlds, references and small programs that several tests share."""
