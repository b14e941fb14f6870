"""A short way from a gateway to the one replica of a model on the same machine.

A call through Ray Serve costs as much processor time as a short forward pass: a router, gRPC and two event loops on
either side. Here it is one frame each way over a Unix socket. Nothing depends on it: without a lane, because there are
several replicas or machines or because it has just broken, calls go through Ray.
"""

from service.deployments.lane.client import Lane, LaneLost
from service.deployments.lane.frames import supported
from service.deployments.lane.server import Address, LaneServer

__all__ = ["Address", "Lane", "LaneLost", "LaneServer", "supported"]
