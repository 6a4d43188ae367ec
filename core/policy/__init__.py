"""Text policy: two tiers, one engine, one table of routes. See `docs/safety.md` for what is refused where.

    check(texts, route)       every text of a request, before anything runs; refuses by raising `PolicyBlocked`
    assemble(prompt, route)   a prompt about to reach a GPU: constrained where the route asks, judged again
    evaluate_private_chat()   `check` and `assemble` for `chat/private/imagegen`
    sanitize_general()        the same for `imagegen`

May import: core.contracts and core.errors. It knows no HTTP, no model and no picture.
"""
