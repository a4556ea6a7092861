"""Hundreds of seeds: ``python -m tests.crash --seeds 300``."""

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """Prove the combinations in turn under as many seeds as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="cases in all")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="combinations with this in their name")
    asked = parser.parse_args()
    os.environ["SYNC_CRASH_SEEDS"] = str(asked.seeds)
    os.environ["SYNC_CRASH_FIRST"] = str(asked.first)
    os.environ["SYNC_CRASH_ONLY"] = asked.only
    tests = Path(__file__).with_name("test_crash.py")
    return pytest.main(["-q", "-p", "no:cacheprovider", "-k", "killed", str(tests)])


if __name__ == "__main__":
    sys.exit(main())
