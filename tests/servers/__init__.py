"""Real servers for tests, in an environment of their own: heavy or GPL code stays out of ours."""
