"""A multi-tenant data sync scheduling engine on Dagster."""
