"""What a result looks like: tables for terminal and page, figures as SVG, one HTML file that needs nothing else.

Comes in: presentation that knows nothing of what it presents.
"""
