"""The processes the product is made of: its database, Dagster's, and who looks after them."""
