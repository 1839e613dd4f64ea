"""`/api/v1/cli`: the verbs on resources of every kind."""
