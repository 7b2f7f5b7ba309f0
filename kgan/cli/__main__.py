"""`python -m kgan.cli`, the same as `kgan`."""

import sys

from kgan.cli import main

sys.exit(main())
