"""`python -m pipelines.embed`."""

import sys

from .embed import main

sys.exit(main())
