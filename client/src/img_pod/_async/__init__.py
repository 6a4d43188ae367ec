"""The asynchronous client. `img_pod._sync` is generated from this folder by `python -m tools.client`."""
