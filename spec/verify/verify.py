#!/usr/bin/env python3
"""Checks the published vectors and, with --node, a running node."""

import sys

from cosmicsync_verify.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
