"""The controller: creates and corrects the objects of each AsyncActor, and reports their state in its status."""
