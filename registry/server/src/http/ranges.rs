//! Range requests on a blob: one part, several parts, or none that can be satisfied.
