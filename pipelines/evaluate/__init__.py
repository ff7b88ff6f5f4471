"""Score predictors on programs they have not seen: `kilowait lab evaluate --help`.

Comes in: what reads corpora, trains recipes fold by fold, and shows errors; other pipelines share it.
"""
