"""A compiled core for long lists of jobs under simple rules; `kilowait.simulate.loop` says what it must do.

`coverage` says which worlds it covers, `arrays` reads submissions into arrays, `kernels` are the loops that numba
compiles, `engine` puts a run together and `tape` its events. Only `kernels` imports numba, and only once it is needed.
"""
