"""Tables of who may call: orgs, users, keys."""
