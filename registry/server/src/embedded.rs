//! `bulkhead driver NAME`: the memory and filesystem drivers in this executable, the only place that links them.
