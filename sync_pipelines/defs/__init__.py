"""The only room that speaks Dagster: assets, jobs, schedules, sensors, resources.

Modules here do without postponed annotations: Dagster reads types at run time.
"""
