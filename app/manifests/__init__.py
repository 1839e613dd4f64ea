"""YAML in, resource out: every resource is a document that brokers carry verbs out on."""
