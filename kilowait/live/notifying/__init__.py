"""Telling people what became of their jobs: by webhook, in the JSON that Slack takes, and by mail.

Comes in: what a notice says and how it leaves. It knows no jobs but as rows, and no HTTP server.
"""
