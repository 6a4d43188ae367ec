"""A worker that never gets as far as taking a job."""

import sys

sys.exit("this model can't be loaded")
