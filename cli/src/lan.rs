//! Settings of how boxes of a home meet on the LAN.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tarn_common::ids::EdgeId;
use tarn_edge::{home_key::HomeKey, lan::LanSettings};
use tarn_link::MeetingPlace;
use url::Url;

use crate::{cloud_link::place, exit::Failure};

/// Whether boxes meet on the LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnOff {
    /// They do, and announce themselves by mDNS.
    On,
    /// They do not.
    Off,
}

/// What can be said of other boxes on the LAN.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LanArgs {
    /// Whether the box meets others of its home on the LAN, found by mDNS; needs --home-key [default: on with a key, where --mqtt is no loopback address]
    #[arg(long, env = "TARN_LAN", value_name = "ON|OFF")]
    #[serde(skip_serializing_if = "Option::is_none")]
    lan: Option<OnOff>,
    /// Another box of the home, where mDNS does not reach: mqtt://HOST[:PORT]#EDGE, or mqtts:// for TLS, EDGE being its edge id, which it logs when it starts; may be repeated. List each of two boxes at the other: the one with the smaller edge id goes (in the file: peer = [...])
    #[arg(
        long,
        env = "TARN_PEER",
        value_name = "URL#EDGE",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    peer: Vec<Url>,
    /// Roots of the certificates of listed boxes, PEM [default: the system's]
    #[arg(long, env = "TARN_PEER_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_ca: Option<PathBuf>,
}

impl LanArgs {
    /// Check everything at once; `plain` is the plain MQTT listener.
    pub(crate) fn settings(
        self,
        key: Option<&str>,
        plain: SocketAddr,
    ) -> Result<Option<LanSettings>, Failure> {
        let is_listed = !self.peer.is_empty();
        let is_reached = !plain.ip().is_loopback();
        let is_wanted = match self.lan {
            Some(lan) => lan == OnOff::On,
            None => is_listed || (is_reached && key.is_some()),
        };
        if !is_wanted {
            return match is_listed {
                true => Err(Failure::usage("--peer: not with --lan off".into())),
                false => Ok(None),
            };
        }
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            let flag = if is_listed { "--peer" } else { "--lan" };
            return Err(Failure::usage(format!(
                "{flag} needs --home-key (or TARN_HOME_KEY), by which boxes of a home know each other"
            )));
        };
        let peers = self.peer.iter().map(|url| peer(url, self.peer_ca.clone()));
        Ok(Some(LanSettings {
            key: HomeKey::new(key.to_owned()),
            peers: peers.collect::<Result<_, _>>()?,
            discover: self.lan.is_some() || is_reached,
        }))
    }
}

fn peer(url: &Url, ca: Option<PathBuf>) -> Result<(EdgeId, MeetingPlace), Failure> {
    let wrong = || {
        Failure::usage(
            "--peer: write it as mqtt://HOST[:PORT]#EDGE, EDGE being the 16 digits of the other box's edge id".into(),
        )
    };
    let edge = url.fragment().and_then(|edge| edge.parse().ok());
    let place = place("--peer", url, ca)?;
    // Boxes log in by the home's key.
    match (edge, &place.login) {
        (Some(edge), None) => Ok((edge, place)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "mqtt://10.0.0.2#0123456789abcdef";

    fn settings(
        lan: Option<OnOff>,
        peers: &[&str],
        key: Option<&str>,
        plain: &str,
    ) -> Result<Option<LanSettings>, Failure> {
        let args = LanArgs {
            lan,
            peer: peers
                .iter()
                .map(|url| url.parse().expect("a URL"))
                .collect(),
            peer_ca: None,
        };
        args.settings(key, plain.parse().expect("an address"))
    }

    #[test]
    fn on_where_it_makes_sense() {
        let (on, off) = (Some(OnOff::On), Some(OnOff::Off));
        let (all, own, key) = ("0.0.0.0:1883", "127.0.0.1:1883", Some("key"));
        let peer: &[&str] = &[PEER];
        for (lan, peers, key, plain, expected) in [
            // Whether it is on, and whether it looks for others.
            (None, &[][..], key, all, Ok(Some(true))),
            (None, &[], key, own, Ok(None)),
            (None, &[], None, all, Ok(None)),
            (on, &[], key, own, Ok(Some(true))),
            (on, &[], None, all, Err(())),
            (on, &[], Some(""), all, Err(())),
            (off, &[], key, all, Ok(None)),
            (None, peer, key, own, Ok(Some(false))),
            (None, peer, key, all, Ok(Some(true))),
            (None, peer, None, all, Err(())),
            (off, peer, key, all, Err(())),
        ] {
            let got = settings(lan, peers, key, plain);
            let got = got.map(|lan| lan.map(|lan| lan.discover)).map_err(|_| ());
            assert_eq!(got, expected, "{lan:?} {peers:?} {key:?} {plain}");
        }
    }

    #[test]
    fn peers_are_named() {
        let one = |url| settings(None, &[url], Some("key"), "127.0.0.1:1883");
        let lan = one(PEER).ok().flatten().expect("it is on");
        assert_eq!(lan.peers[0].0, EdgeId(0x0123_4567_89ab_cdef));
        assert_eq!(lan.peers[0].1.to_string(), "mqtt://10.0.0.2:1883");
        for url in [
            "mqtt://10.0.0.2",
            "mqtt://10.0.0.2#me",
            "mqtt://ann:pass@10.0.0.2#0123456789abcdef",
            "http://10.0.0.2#0123456789abcdef",
        ] {
            assert!(one(url).is_err(), "{url}");
        }
    }
}
