//! The lcedge command.
fn main() {}
