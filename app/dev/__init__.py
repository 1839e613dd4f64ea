"""The embedded PostgreSQL and Valkey of `statewright dev` and of the tests."""
