"""PostgreSQL: the engine, the transaction, the tables. The only place that commits."""
