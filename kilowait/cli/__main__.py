"""`python -m kilowait.cli`."""

import sys

from kilowait.cli.main import main

sys.exit(main())
