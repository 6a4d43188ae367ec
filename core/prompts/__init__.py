"""Texts that the models receive: descriptions of a person, system prompts, and questions about a picture.

Pure text in, text out. May import: core.contracts.
"""
