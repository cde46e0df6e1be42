//! lcedge: an embedded, memory-augmented runtime.
