"""Tests that send messages through injected pods and real brokers."""
