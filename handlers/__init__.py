"""One thin module per GPU image. They never import one another."""
