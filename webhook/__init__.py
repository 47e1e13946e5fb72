"""The admission webhook. It injects labelled pod templates and validates AsyncActors."""
