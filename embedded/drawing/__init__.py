"""Drawn faces and scenes, and the dataset made of them."""
