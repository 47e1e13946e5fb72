"""Injection, in one place: what an actor's injection consists of, and the function that puts it into a template.

Everything here is a pure function of plain values. Admission calls it for objects on their way into the
cluster, the command line for objects in files, and the controller compares its digests to find what an
earlier plan injected.
"""
