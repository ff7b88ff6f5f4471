"""A compiled core for long lists of jobs under simple rules; `kilowait.simulate.loop` says what it must do.

`covered` says which worlds it covers and `worth` when it pays. `table` turns submissions into arrays; `first_come`,
`by_key` and `easy_backfill` are the loops that numba compiles, with `track` for what they share; `engine` puts a run
together, and `tape` its events. numba is only imported from `engine` on, when it is needed.
"""
