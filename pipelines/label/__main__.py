"""`python -m pipelines.label`."""

import sys

from .label import main

sys.exit(main())
