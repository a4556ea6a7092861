"""MongoDB: collections by cursor field or by change stream, and as a destination."""
