"""The project's files; no other package knows a name inside one."""
