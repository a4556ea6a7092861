"""A first look on real data: the flights that left New York in 2013, synced as they appear."""
