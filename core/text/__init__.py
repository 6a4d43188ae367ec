"""Text work of the llm worker: expansion of chats, captions, and shortening.

A model's answer is untrusted: it is parsed, checked, requested again, and finally replaced by code.
May import: core.backends (its values), core.contracts, core.errors, core.prompts. No torch.
"""
