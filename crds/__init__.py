"""The API: the pydantic models of AsyncActor, and the CRD manifest that is generated from them."""
