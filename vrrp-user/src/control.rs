//! What an operator sees and says: the status, the socket it is asked for on, and the words on both sides.
//!
//! Owns the form of all that; how it comes about is told by whoever serves it (`daemon`).

pub mod histogram;
