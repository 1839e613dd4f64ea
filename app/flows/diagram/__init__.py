"""Drawing a statechart: SVG with our own layout, and Mermaid text."""
