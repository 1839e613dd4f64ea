"""PostgreSQL: connections, transactions, tables and migrations.

Nothing outside calls `commit()`: `Database.transaction` does at its end, and what runs on the raw
pool is one statement, which is a transaction of its own.
"""
