//! The protocol core, sans-IO.
