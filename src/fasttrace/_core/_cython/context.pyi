from fasttrace._core._python.context import Context as Context
from fasttrace._core._python.context import Node as Node
from fasttrace._core._python.context import SpanContext as SpanContext
from fasttrace._core._python.context import attach as attach
from fasttrace._core._python.context import current_node as current_node
from fasttrace._core._python.context import detach as detach
from fasttrace._core._python.context import set_foreign as set_foreign

__all__ = ["Context", "Node", "SpanContext", "attach", "current_node", "detach", "set_foreign"]
