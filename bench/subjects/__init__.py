"""One file per thing that is measured: it imports that library, and says the cases in its words.

Ours, the floor and the SDK have ``make()`` and share a process. Peers have ``make(endpoint, sampled)`` and a process,
and an environment, of their own; ``REQUIREMENTS`` is what that has to have.
"""
