"""QuickBooks Online: customers, items and documents, read and written."""
