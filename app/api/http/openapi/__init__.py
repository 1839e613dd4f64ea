"""The OpenAPI document, as generators of clients take it, and the pages that show it."""
