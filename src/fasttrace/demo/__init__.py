"""The shop: five services, each a process of its own, that call each other over HTTP on the loopback.

``gateway`` takes the order, ``checkout`` asks ``inventory`` to reserve, ``payments`` to charge and
``shipping`` to ship. Inventory has too few database connections, which shows as soon as orders
come in at once.
"""

SERVICES = ("gateway", "checkout", "inventory", "payments", "shipping")
"""The services in the order in which an order meets them."""

READY_PATH = "/ready"
"""Asked for until a service answers, whatever the answer; not traced."""
