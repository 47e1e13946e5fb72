"""The reconciler: makes the cluster hold what each AsyncActor asks for, and says how that stands."""
