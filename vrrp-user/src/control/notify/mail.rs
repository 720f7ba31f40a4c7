//! Mail, in the clear to a server of the operator's, as keepalived sends it.
//!
//! Owns the words and the tries. A server that does not answer costs this queue its turn and nobody anything else.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::{sleep, timeout};

use super::names::{self, Resolver};
use super::outbox::Outbox;
use super::{News, Tally, What};
use crate::config::Mail;

/// Pauses before the second try and those after it.
const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];
/// After connecting: for the whole conversation.
const CONVERSATION: Duration = Duration::from_secs(30);

/// Until the outbox is closed and empty.
pub(super) async fn run(router_id: String, settings: Mail, outbox: Outbox<News>, tally: Arc<Tally>) {
    let resolver = Resolver::default();
    while let Some(news) = outbox.take().await {
        let mut pauses = PAUSES.iter();
        let is_sent = loop {
            match send(&router_id, &settings, &resolver, &news).await {
                Ok(()) => break true,
                Err(error) => {
                    let server = format!("{}:{}", settings.server, settings.port);
                    let (instance, word) = (news.instance.as_str(), news.word());
                    match pauses.next().filter(|_| !outbox.is_closed()) {
                        Some(pause) => {
                            tracing::warn!(instance, "{word}: mail to {server}: {error}; again in {pause:?}");
                            sleep(*pause).await;
                        }
                        None => {
                            tracing::error!(instance, "{word}: mail to {server}: {error}; given up");
                            break false;
                        }
                    }
                }
            }
        };
        tally.note(is_sent);
    }
}

async fn send(router_id: &str, settings: &Mail, resolver: &Resolver, news: &News) -> Result<(), String> {
    let message = message(router_id, settings, news)?;
    let limit = settings.connect_timeout;
    let resolved = timeout(limit, resolver.resolve(&settings.server, settings.port)).await;
    let server = match resolved {
        Ok(found) => found.map_err(|error| error.to_string())?,
        Err(_elapsed) => return Err(format!("no address of it within {limit:?}")),
    };
    let helo = settings.helo.clone().unwrap_or_else(names::host);
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.ip().to_string())
        .port(server.port())
        .timeout(Some(limit))
        .hello_name(ClientId::Domain(helo))
        .build();
    match timeout(limit + CONVERSATION, transport.send(message)).await {
        Ok(sent) => sent.map(drop).map_err(|error| causes(&error)),
        Err(_elapsed) => Err(format!("not done within {:?}", limit + CONVERSATION)),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn message(router_id: &str, settings: &Mail, news: &News) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("{text}: {error}"));
    let from = match &settings.from {
        Some(from) => mailbox(from)?,
        None => {
            let host = names::host();
            mailbox(&format!("vrrp@{host}")).or_else(|_odd_name| mailbox("vrrp@localhost"))?
        }
    };
    let mut message = Message::builder().from(from).subject(subject(router_id, news));
    for to in &settings.to {
        message = message.to(mailbox(to)?);
    }
    message.body(body(router_id, news)).map_err(|error| error.to_string())
}

fn subject(router_id: &str, news: &News) -> String {
    match &news.what {
        What::State(_) => format!("[{router_id}] {} is {}", news.instance, news.word()),
        What::Check { check, verdict } => {
            format!("[{router_id}] check {check} of {} says {verdict}", news.instance)
        }
    }
}

fn body(router_id: &str, news: &News) -> String {
    let host = names::host();
    let why = if news.why.is_empty() { "-" } else { news.why.as_str() };
    format!(
        "{}\n\nhost:     {host} ({router_id})\ninstance: {}\npriority: {}\nwhy:      {why}\n",
        subject(router_id, news),
        news.instance,
        news.priority
    )
}
