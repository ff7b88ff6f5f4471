"""`python -m kilowait`."""

import sys

from kilowait.cli.main import main

sys.exit(main())
