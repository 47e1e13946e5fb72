"""Manifests in files: read as kubectl reads them, changed only where a change is asked for.

:mod:`files.reading` makes documents of bytes, and :mod:`files.scalars` gives plain scalars the types that kubectl
gives them. :mod:`files.editing` edits the text of a document at the positions that the parser gives.
:mod:`files.memory` keeps what such an edit replaced, so that it can be undone byte for byte. Nothing here knows
what an injection is.
"""
