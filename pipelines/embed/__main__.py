"""`kilowait lab embed`."""

import sys

from .embed import main

sys.exit(main())
