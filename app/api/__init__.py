"""The HTTP edge: one router and its wire models per URL prefix."""
