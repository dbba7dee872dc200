//! What the kernel says about a network's bridge, for `network inspect`. Asynchronous, and so
//! only for callers with a runtime: the CLI and the API, never a supervisor's set-up.

use std::io;

use futures_util::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, Stats64};

use super::error::NetworkError;
use super::home::at_home;
use super::record::Network;

/// The state of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeStatus {
    /// Interface index.
    pub index: u32,
    /// Whether it is up.
    pub up: bool,
    /// MTU in force.
    pub mtu: u32,
    /// Bytes that members sent to or through it.
    pub received_bytes: u64,
    /// Bytes sent to members.
    pub sent_bytes: u64,
    /// Interfaces in it: one for each member.
    pub ports: Vec<String>,
}

impl BridgeStatus {
    /// Asks the kernel; `None` when no container has joined since boot.
    pub async fn of(network: &Network) -> Result<Option<Self>, NetworkError> {
        let (connection, handle, _) = at_home(|| {
            rtnetlink::new_connection().map_err(NetworkError::kernel("open rtnetlink"))
        })?;
        let driver = tokio::spawn(connection);
        let answer = ask(&handle, &network.link).await;
        driver.abort();
        answer.map_err(|source| NetworkError::Interface {
            step: "look up",
            interface: network.link.clone(),
            source,
        })
    }
}

async fn ask(handle: &rtnetlink::Handle, name: &str) -> io::Result<Option<BridgeStatus>> {
    let mut answers = handle.link().get().match_name(name.to_owned()).execute();
    let link = match answers.try_next().await {
        Ok(Some(link)) => link,
        Ok(None) => return Ok(None),
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => return Ok(None),
        Err(e) => return Err(io::Error::other(e)),
    };
    let mut status = BridgeStatus {
        index: link.header.index,
        up: link.header.flags.contains(LinkFlags::Up),
        ..BridgeStatus::default()
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => status.mtu = mtu,
            LinkAttribute::Stats64(Stats64 {
                rx_bytes, tx_bytes, ..
            }) => {
                status.received_bytes = rx_bytes;
                status.sent_bytes = tx_bytes;
            }
            _ => {}
        }
    }
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(io::Error::other)? {
        let mut name = None;
        let mut here = false;
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text),
                LinkAttribute::Controller(index) => here = index == status.index,
                _ => {}
            }
        }
        status.ports.extend(name.filter(|_| here));
    }
    Ok(Some(status))
}
