"""Every limit of a submission but those of its source (`kilowait.program.limits`). What is above is refused by name.

The service refuses at the door, the client before it sends, the scheduler before it keeps.
"""

MAX_NAME = 200
"""Characters of an owner, a client's key, a label or its value, a variable's name, a GPU type."""

MAX_ENTRIES = 64
"""Of labels, of environment variables, of arguments, of GPU types."""

MAX_TASKS = 1000
"""Tasks of one job array."""

MAX_VARIABLE_BYTES = 32_768
"""Of the value of one environment variable: more is data, and belongs into a file."""

MAX_ENVIRONMENT_BYTES = 131_072
"""Of all environment variables together, names and values."""

MAX_ARGUMENTS_BYTES = 131_072
"""Of all arguments together: Linux takes no more in one."""

MAX_LINE_CHARACTERS = 100_000
"""Of one line of Python: a longer one is data or generated code."""

MAX_ARCHIVE_TEXT = 6_000_000
"""Characters of a zip in base64: 4.5 MB."""

MAX_ARCHIVE_FILES = 500
"""Files in a zip."""

MAX_UNPACKED_BYTES = 8_000_000
"""That the files in a zip add up to."""

MAX_FIELDS_BYTES = 2_000_000
"""Of a request's JSON without its texts (a source, an archive): environments, labels and arguments."""

MAX_BODY_BYTES = 8_000_000
"""Of a request to the service."""
