"""Manifests in files: read as kubectl reads them, and changed only where injection changes them.

:mod:`files.reading` splits bytes into documents, and :mod:`files.scalars` gives plain scalars the types that kubectl
gives them. :mod:`files.editing` edits the text of a document at the positions that the parser gives.
:mod:`files.memory` stores the texts that such an edit replaced, so that it can be undone byte for byte. The folder
imports nothing of injection.
"""
