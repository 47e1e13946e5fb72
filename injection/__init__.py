"""Injection: the plan of an actor, and the functions that put it into a pod template and take it out again.

All functions here are pure. Admission calls them for requests to the API server, and the command for objects in files.
The controller compares the digests of plans to find templates with an earlier plan.
"""
