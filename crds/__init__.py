"""The API: AsyncActor as pydantic models, and the manifest that is generated from them."""
