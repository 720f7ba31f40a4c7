//! The daemon, by layer; each layer knows only those above it in this list (`cargo xtask lint` holds it to that).

pub mod histogram;

pub mod wire;

pub mod vrrp;

pub mod mysql;

pub mod health;

pub mod database;

pub mod net;

pub mod role;

pub mod config;

pub mod import;

pub mod control;

pub mod doctor;

pub mod scan;

pub mod daemon;

pub mod bench;

#[cfg(test)]
mod seeds;
#[cfg(test)]
mod testing;
