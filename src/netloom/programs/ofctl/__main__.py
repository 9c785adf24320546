"""`python -m netloom.programs.ofctl`."""

from __future__ import annotations

import sys

from netloom.programs.ofctl import main

sys.exit(main())
