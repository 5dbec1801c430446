//! The configuration file: what was written, checked, and what it means.
