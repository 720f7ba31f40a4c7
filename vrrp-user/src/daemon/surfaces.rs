//! Who may ask the daemon, and where: the control socket, the metrics, the status page.
//!
//! Owns which surface goes with which key of the configuration. Without any of them the addresses are as safe as with
//! them, so one that cannot be had is an error in the log and no more.

use crate::config::Config;
use crate::control::desk::Desk;
use crate::control::page::Feed;
use crate::control::routes::Surface;
use crate::control::server::{Server, ServerError};

/// Must be called inside the runtime, with which they end.
pub(super) async fn open(config: &Config, desk: &Desk) {
    match Server::bind("control socket", &config.control.socket) {
        Ok(server) => drop(tokio::spawn(server.run(Surface::Control(desk.clone())))),
        Err(error) => tracing::error!("{error}; the commands on a running daemon will not work"),
    }
    if let Some(path) = &config.metrics.socket {
        let surface = Surface::Metrics { desk: desk.clone(), on_loopback: false };
        start(Server::bind("metrics socket", path), surface);
    }
    if let Some(place) = config.metrics.listen {
        let surface = Surface::Metrics { desk: desk.clone(), on_loopback: place.ip().is_loopback() };
        start(Server::listen("metrics", place).await, surface);
    }
    if let Some(place) = config.status_page {
        let (desk, feed) = (desk.clone(), Feed::start(desk.clone()));
        let surface = Surface::Page { desk, feed, on_loopback: place.ip().is_loopback() };
        start(Server::listen("status page", place).await, surface);
    }
}

fn start(server: Result<Server, ServerError>, surface: Surface) {
    match server {
        Ok(server) => {
            tracing::info!("{server}");
            drop(tokio::spawn(server.run(surface)));
        }
        Err(error) => tracing::error!("{error}"),
    }
}
