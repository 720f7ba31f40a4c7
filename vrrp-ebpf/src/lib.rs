//! The kernel half's library: the ABI that both halves share, and the pure packet classifier.
#![no_std]

pub mod abi;
