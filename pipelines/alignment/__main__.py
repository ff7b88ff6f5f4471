"""`kilowait lab alignment`."""

import sys

from .alignment import main

sys.exit(main())
