"""A worker that crashes before it takes a job."""

import sys

sys.exit("this model can't be loaded")
