"""The embedded models: the drawn pictures they are trained on, their trainers, and their weights.

May import: core, torch.
"""
