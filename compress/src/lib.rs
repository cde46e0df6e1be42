//! How it gets smaller: quantised keys and values, and addresses.
