"""Messages through injected pods and real brokers."""
