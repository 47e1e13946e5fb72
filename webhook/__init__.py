"""Admission: injects labelled pod templates, and checks AsyncActors before they are stored."""
