"""Sessions: documents that are still being read, kept durable and in constant size.

catalog   control plane: create, get, list, delete, running document vector (no torch)
appender  data plane of an encoder replica: read chunks, commit, answer
copies    control plane: forks, exports, imports (no torch)
stateless documents whose state the client keeps, in `state_tokens`
protocol  the rules of an append, pure
codec     a session's state as bytes
stores    where those bytes live
"""
