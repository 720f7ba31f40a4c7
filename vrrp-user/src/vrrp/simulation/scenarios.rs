//! Faults that have a name, each with its promise in numbers.
