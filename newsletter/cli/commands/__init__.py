"""What each command takes and says of itself: arguments, options and help. Each calls a function that does the work.

Imports stand inside the commands: `newsletter --help` does not load the whole program, and a missing extra stops only
the commands that need it. docs/commands.md is generated from these modules (`make docs`).
"""
