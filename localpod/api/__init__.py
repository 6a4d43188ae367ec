"""The HTTP server: client API, worker protocol, load-balancing endpoints and localpod's own resources."""

from localpod.api.access import Access
from localpod.api.app import Api
from localpod.api.call import ServedEndpoint, balancer_health, health_of, limiters_for
from localpod.api.proxy import Proxy
from localpod.api.worker import POLL_TIMEOUT_S

__all__ = ["POLL_TIMEOUT_S", "Access", "Api", "Proxy", "ServedEndpoint", "balancer_health", "health_of", "limiters_for"]
