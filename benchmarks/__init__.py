"""Measures the product against its peers, in one run, on one machine.

Laws: ours and the peer take turns, so that both meet the same weather; a ratio is the
median of the rounds' ratios; data that was moved is compared with its source, because a
fast wrong copy is not a copy; nothing is asserted about time.
"""
