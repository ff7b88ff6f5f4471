"""Every limit of a job's source. What is above one is refused by name, with the limit in the message."""

from kilowait.program.source import MAX_SOURCE_BYTES

MAX_FILE_BYTES = MAX_SOURCE_BYTES
"""Of one Python file: more is data or generated code."""

MAX_NOTEBOOK_BYTES = 20_000_000
"""Of a notebook with the pictures in it; its code is bound as that of a Python file."""

MAX_CONFIGURATION_BYTES = 100_000
"""Of one configuration file. A larger one that the source names is data: left out and listed, not refused."""

MAX_FILES = 2_000
"""Files of one job's source: those that the entrypoint reaches."""

MAX_TOTAL_BYTES = 20_000_000
"""Of all files of one job's source together."""

MAX_ARGUMENTS = 500
"""Arguments of the entrypoint."""

MAX_ARGUMENT_CHARACTERS = 4_096
"""Of one argument."""

MAX_PATH_CHARACTERS = 255
"""Of one relative path."""

MAX_PART_BYTES = 255
"""Of one file's or folder's name in UTF-8: disks take no more."""

MAX_CANDIDATES = 10_000
"""Files looked at in a folder (hidden folders and environments apart) or named in a zip, reached or not."""

MAX_ARCHIVE_BYTES = 10_000_000
"""Of a zip itself: its directory is read before anything in it can be judged."""

MAX_UNPACKED_BYTES = 200_000_000
"""That the files in a zip add up to. Only files that are reached are unpacked, each up to its own limit."""

CONFIGURATION = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt")
"""Endings of configuration files. A file with one of them is reached by being named."""
