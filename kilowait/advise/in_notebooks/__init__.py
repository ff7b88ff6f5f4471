"""`%load_ext kilowait`: what a cell of a notebook would take, as a table and a picture below it.

Comes in: what IPython calls and shows. Nothing of IPython is imported: it hands itself over.
"""
