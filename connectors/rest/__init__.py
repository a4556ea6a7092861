"""A REST source is data: a spec of streams, pages and limits, read by one source."""
