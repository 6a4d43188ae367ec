"""`python -m core.policy`: compile the rules of the policy and keep them beside the code, for faster starts.

May import: core.policy.loading.
"""

import sys

from core.policy.loading import lexicon

if __name__ == "__main__":
    sys.dont_write_bytecode = False
    lexicon()
