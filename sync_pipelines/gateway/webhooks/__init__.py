"""Webhooks come in: proven, stored, answered; then turned into executions.

Laws:

* Nothing is answered with success before it is durable: who dies in between is asked
  again by the provider, and finds what was stored.
* The sender of what is refused learns nothing but that; it is counted in memory, and
  writes no row of its own.
* What happens after the answer may die: the dispatcher's sensor does the same.
"""
