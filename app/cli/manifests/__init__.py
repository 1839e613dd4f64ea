"""Commands about manifests and the resources that they declare."""
