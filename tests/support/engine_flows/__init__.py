"""Flows in code that the tests of the engine run; their workers are in the test's own process."""
