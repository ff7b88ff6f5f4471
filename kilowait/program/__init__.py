"""What a job's source is: the files that its entrypoint reaches, and its arguments.

Reads the way it is used: `read.py` (a file, a folder, a zip, standard input) -> `reach.py` (what belongs to it, what
is left out and why) -> `job_source.py` (the record: schema, content hash, JSON, writing to a scratch folder) ->
`text.py` (the one text that a predictor reads). `limits.py` has every limit.

Environment variables given with a job and the folder it starts in are part of its source, for a dry run reads them; of
a secret the name alone is (`environment.py`). They are no part of the text, and so reach no table of features.
A job may also be given by how it is started: `launch/` follows commands, shell scripts and notebooks to the program.
"""
