"""The handlers of the GPU workers, one thin module per image.

May import: core, not one another.
"""
