//! Boxes of one home that meet on the LAN, without a cloud.
//!
//! Every box's own broker is a meeting place. Of two boxes the one with the smaller edge id goes to the other's broker;
//! each is a node at its own, too. So every pair has one link, and whoever is linked hears all.
//!
//! A box is let in by a token that proves that it knows the home's key, and what boxes say is sealed by it
//! ([`home_key`](crate::home_key)). Whoever answers in the place of a box gets a token that is good nowhere else, and nobody
//! believes him anything.

/// Lets boxes of the home into this box's broker.
pub mod door;
/// Announcing this box, and hearing of others.
mod mdns;
/// Which boxes are around: what is found and lost becomes meeting and parting.
mod neighbours;

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use tarn_common::{clock::Clock, ids::EdgeId};
use tarn_link::{FreshLogin, MeetingPlace};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::{
    mdns::{Mdns, Sighting},
    neighbours::{Address, Neighbours, Step},
};
use crate::{
    home_key::HomeKey,
    identity::Identity,
    uplink::{MeetError, Uplink},
};

/// How often it is looked whether a box has been gone for long enough.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How a box meets others on the LAN.
#[derive(Debug, Clone)]
pub struct LanSettings {
    /// The home's key, which all its boxes know.
    pub key: HomeKey,
    /// Boxes that are always gone to, by their edge ids.
    pub peers: Vec<(EdgeId, MeetingPlace)>,
    /// Whether this box is announced and others are looked for.
    pub discover: bool,
}

/// A box among those of its home on the LAN.
pub struct Lan {
    settings: LanSettings,
    identity: Identity,
    clock: Arc<dyn Clock>,
    uplink: Arc<Uplink>,
    listener: SocketAddr,
}

impl std::fmt::Debug for Lan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lan")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Lan {
    /// Go to the box's own broker, of which this is a plain listener, and to the listed boxes.
    ///
    /// # Errors
    /// One cannot be gone to at all.
    pub fn start(
        settings: LanSettings,
        identity: Identity,
        clock: Arc<dyn Clock>,
        uplink: Arc<Uplink>,
        listener: SocketAddr,
    ) -> Result<Lan, MeetError> {
        let lan = Lan {
            settings,
            identity,
            clock,
            uplink,
            listener,
        };
        let own = lan.identity.edge;
        lan.uplink.meet_boxes(
            lan.place(MeetingPlace::own(listener, None), own),
            lan.settings.key.clone(),
        )?;
        for (edge, place) in &lan.settings.peers {
            if own < *edge {
                lan.uplink
                    .meet_boxes(lan.place(place.clone(), *edge), lan.settings.key.clone())?;
            } else if own > *edge {
                tracing::info!(peer = %edge, "this box is gone to: its edge id is the larger one");
            }
        }
        Ok(lan)
    }

    /// Find others until stopped.
    pub async fn run(self, stop: CancellationToken) {
        if !self.settings.discover {
            return;
        }
        let mut mdns = match Mdns::start(&self.identity, self.listener) {
            Ok(mdns) => mdns,
            Err(error) => {
                tracing::warn!(%error, "boxes on the LAN are not looked for; list them by --peer");
                return;
            }
        };
        let listed: HashSet<_> = self.settings.peers.iter().map(|(edge, _)| *edge).collect();
        let mut neighbours = Neighbours::new(self.identity.clone(), listed);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let steps = tokio::select! {
                () = stop.cancelled() => break,
                sighting = mdns.next() => match sighting {
                    Some(Sighting::Found(name, advert)) => neighbours.found(name, advert),
                    Some(Sighting::Lost(name)) => {
                        neighbours.lost(&name, Instant::now());
                        Vec::new()
                    }
                    None => {
                        tracing::warn!("boxes on the LAN are not looked for any more");
                        break;
                    }
                },
                _ = look.tick() => neighbours.overdue(Instant::now()),
            };
            for step in steps {
                self.take(step, &mut neighbours);
            }
        }
        mdns.shutdown().await;
    }

    fn take(&self, step: Step, neighbours: &mut Neighbours) {
        match step {
            Step::Meet(edge, address) => {
                tracing::info!(peer = %edge, host = %address.host, port = address.port, "a box of the home is near");
                match self
                    .uplink
                    .meet_boxes(self.found(&address, edge), self.settings.key.clone())
                {
                    Ok(place) => neighbours.met(edge, place),
                    Err(error) => {
                        tracing::warn!(peer = %edge, %error, "a box of the home is not gone to");
                    }
                }
            }
            Step::Part(edge, place) => {
                tracing::info!(peer = %edge, "a box of the home is near no more, or elsewhere");
                self.uplink.part(place);
            }
        }
    }

    fn found(&self, address: &Address, to: EdgeId) -> MeetingPlace {
        let listener = SocketAddr::new(address.host, address.port);
        self.place(MeetingPlace::own(listener, None), to)
    }

    /// The same place, with a login that the box `to` takes.
    fn place(&self, place: MeetingPlace, to: EdgeId) -> MeetingPlace {
        let (key, clock) = (self.settings.key.clone(), self.clock.clone());
        let (home, from) = (self.identity.home.clone(), self.identity.edge);
        MeetingPlace {
            fresh_login: Some(FreshLogin::new(move || {
                let token = key.token(&home, from, to, clock.now_ms());
                (door::user(&home, from), token)
            })),
            ..place
        }
    }
}
