"""Inbound webhooks: whether a request is genuine, and what it says has changed.

Pure: bytes in, a verdict and notices out. No clock, no network, nothing is kept.

Laws:

* A signature is checked over the raw bytes, before anything is parsed, wherever the
  provider signs them; every comparison of a secret takes the same time whatever differs.
* Several secrets may be valid at once, so that one can be changed without a gap.
* Whatever the bytes are, reading them gives notices or raises `MalformedError`.
"""
