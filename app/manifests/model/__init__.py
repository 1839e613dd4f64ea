"""What a manifest is: its envelope, metadata and field types, its schema, its differences."""
