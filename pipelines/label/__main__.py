"""`kilowait lab label`."""

import sys

from .label import main

sys.exit(main())
