"""What people do with actors: their messages, reached with the actor's own credentials; pauses, scale, logs."""
