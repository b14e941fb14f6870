"""The HTTP API: a pure function of its ports, `create_app`."""
