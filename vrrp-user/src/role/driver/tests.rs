//! What a kept connection says of itself, by a server that says no more than that.

use std::net::Ipv4Addr;
use std::num::NonZeroU16;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Driver, NoSockets};
use crate::database::{Login, Place};
use crate::role::{PeerAnswer, Settings};

/// What an honest answer is here: a refusal that is about the question.
const REFUSED: u16 = 1290;

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], payload].concat()
}

fn error(number: u8, code: u16) -> Vec<u8> {
    packet(number, &[&[0xff][..], &code.to_le_bytes(), b"#HY000no"].concat())
}

/// Protocol 10 with mysql_native_password, and as few capabilities as a client takes.
fn greeting() -> Vec<u8> {
    let capabilities = (1_u32 | 0x200 | 0x8000 | 0x8_0000).to_le_bytes();
    let (low, high) = capabilities.split_at(2);
    let salt = [b'x'; 20];
    let parts: [&[u8]; 12] = [
        b"\x0a5.6.24\0",
        &[1, 0, 0, 0],
        &salt[..8],
        b"\0",
        low,
        &[33, 2, 0],
        high,
        &[21],
        &[0; 10],
        &salt[8..],
        b"\0",
        b"mysql_native_password\0",
    ];
    packet(0, &parts.concat())
}

fn version() -> Vec<u8> {
    let end = |number| packet(number, &[0xfe, 0, 0, 2, 0]);
    let column = b"\x03def\0\0\0\x01v\0\x0c\x21\0\x40\0\0\0\xfd\0\0\0\0\0";
    [packet(1, &[1]), packet(2, column), end(3), packet(4, b"\x065.6.24"), end(5)].concat()
}

/// Answers the first question after the login, and with `killed` from then on.
async fn converse(mut client: TcpStream, killed: Vec<u8>) -> std::io::Result<()> {
    client.write_all(&greeting()).await?;
    let (mut is_known, mut questions) = (false, 0);
    loop {
        let mut head = [0; 4];
        client.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        client.read_exact(&mut payload).await?;
        let answer = match &payload[..] {
            _ if !is_known => packet(2, &[0, 0, 0, 2, 0, 0, 0]),
            b"\x03SELECT VERSION()" => version(),
            _ => {
                questions += 1;
                if questions == 1 { error(1, REFUSED) } else { killed.clone() }
            }
        };
        is_known = true;
        client.write_all(&answer).await?;
    }
}

async fn server(killed: Vec<u8>) -> Place {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // Until it hangs up.
            tokio::spawn(converse(client, killed.clone()));
        }
    });
    Place::Tcp(Ipv4Addr::LOCALHOST.into(), NonZeroU16::new(port).unwrap())
}

#[tokio::test]
async fn what_is_about_a_kept_connection_is_asked_once_more_on_another() {
    let out_of_step = error(7, REFUSED);
    for killed in [error(1, 1317), error(1, 1927), error(1, 3168), error(1, 4031), out_of_step] {
        let place = server(killed.clone()).await;
        let login = Login { place, user: "vrrp".to_owned(), password: None, tls: None };
        let long = std::time::Duration::from_secs(20);
        let settings = Settings { peer_limit: long, statement_limit: long, ..Settings::default() };
        let (local, peer) = (login.clone().into(), Some(login.into()));
        let mut driver = Driver::new("VI_1", settings, local, peer, NoSockets);
        for _ in 0..3 {
            let view = driver.look(true).await;
            assert!(
                matches!(view.theirs, PeerAnswer::Unaskable { code: REFUSED, .. }),
                "{killed:x?}: {view:?}"
            );
            assert!(view.ours.as_ref().is_err_and(|how| how.contains("1290")), "{killed:x?}: {view:?}");
        }
    }
}
