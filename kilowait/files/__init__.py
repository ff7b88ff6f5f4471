"""Files as tables: column names, Parquet, rows of CSV whose errors name the cell, atomic writes.

Comes in: how bytes get to disk and back, never what they mean.
"""
