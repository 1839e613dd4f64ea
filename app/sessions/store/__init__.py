"""Sessions in PostgreSQL: the values that are read and written, and the SQL."""
