"""The plugin's actions on actors: messages, which need the actor's own credentials; pause, scale, restart; logs."""
