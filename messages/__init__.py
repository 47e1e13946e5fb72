"""Messages of actors, for people: to send, look at, replay and drop them, with the actor's own credentials."""
