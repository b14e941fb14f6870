"""The model-serving microservice: sessions, engine, HTTP API, deployments, client and command line."""
