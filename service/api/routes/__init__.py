"""One router per resource; a route translates and delegates, nothing more."""
