"""Commands for maintainers: generated documents, locks, images, the demo.

May import: anything.
"""
