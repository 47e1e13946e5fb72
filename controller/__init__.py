"""The controller: makes the cluster hold what each AsyncActor asks for, and reports the result in its status."""
