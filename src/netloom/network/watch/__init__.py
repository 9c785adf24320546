"""List and watch, seen from those who watch: a replica, what follows from it, and the way to it."""
