"""Certificates for the webhook: a certificate authority, the serving certificates, and their rotation."""
