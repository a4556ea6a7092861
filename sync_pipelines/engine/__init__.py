"""What happens: due instants become executions, executions move data, outcomes are settled.

Laws: a due instant is claimed once, by a key; an attempt starts once, by compare
and set; a retry is a time in the catalog, never a sleeping worker; state follows
data.
"""
