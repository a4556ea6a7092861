"""From a tenant's YAML file to the catalog: parse, plan, then act, in that order.

Laws: every mistake of a file is reported at once, with its line; a plan is a pure
difference; it is carried out in one transaction, or not at all; what the file does
not name is left alone; a secret is in no plan, no audit row and no message.
"""
