"""The small models that let a laptop run the whole chain, the pictures they learn from, and how each was made."""
