"""What the catalog's tests stand on."""
