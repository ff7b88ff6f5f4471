"""`kilowait lab evaluate`."""

import sys

from .evaluate import main

sys.exit(main())
