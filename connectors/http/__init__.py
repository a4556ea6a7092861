"""Everything that is spoken over HTTP: one client, its limits, its guards, OAuth."""
