"""`kilowait lab study`."""

import sys

from .study import main

sys.exit(main())
