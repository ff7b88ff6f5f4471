"""What the factorial study says: rows of samples to intervals, figures, tables and one page."""
