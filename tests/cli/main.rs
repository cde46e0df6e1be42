//! The built command, from outside: its output, exit codes and files.
