//! Puts a registry together from its configuration, runs it, and takes it down in order.
