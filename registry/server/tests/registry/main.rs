//! The registry from outside: HTTP in, with real driver processes behind it.
