"""Certificates for the webhook: a certificate authority and what it signs."""
