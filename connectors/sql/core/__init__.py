"""Databases that are read page by page, through SQLAlchemy Core."""
