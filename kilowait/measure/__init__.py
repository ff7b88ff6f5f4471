"""Meters and the runner that puts a program under one."""
