"""`python -m pipelines.study`."""

import sys

from .study import main

sys.exit(main())
