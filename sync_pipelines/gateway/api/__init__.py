"""The resources of ``/api/v2``, one module each."""
