use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use tarn_common::ids::{EdgeId, HomeId};
use tokio::time::Instant;

use crate::{identity::Identity, uplink::PlaceId};

/// How long a box that has said farewell, or is not heard any more, is still gone to.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(60);
/// Boxes that are gone to at one time.
const NEIGHBOURS_MAX: usize = 32;

/// What somebody on the LAN says of himself. Anybody can say anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advert {
    pub(super) home: HomeId,
    pub(super) edge: EdgeId,
    pub(super) hosts: Vec<IpAddr>,
    pub(super) port: u16,
}

/// Where a box is gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: IpAddr,
    pub(super) port: u16,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Meet(EdgeId, Address),
    Part(EdgeId, PlaceId),
}

/// Which boxes are around: what is found and lost becomes meeting and parting.
#[derive(Debug)]
pub(super) struct Neighbours {
    own: Identity,
    /// Boxes that are gone to anyway.
    listed: HashSet<EdgeId>,
    near: BTreeMap<EdgeId, Neighbour>,
}

#[derive(Debug)]
struct Neighbour {
    /// Under which it is announced.
    name: String,
    address: Address,
    place: Option<PlaceId>,
    lost_at: Option<Instant>,
}

impl Neighbours {
    pub(super) fn new(own: Identity, listed: HashSet<EdgeId>) -> Neighbours {
        Neighbours {
            own,
            listed,
            near: BTreeMap::new(),
        }
    }

    /// A name is announced, perhaps again and otherwise than before.
    pub(super) fn found(&mut self, name: String, advert: Advert) -> Vec<Step> {
        let Advert {
            home,
            edge,
            hosts,
            port,
        } = advert;
        // Of two boxes the one with the smaller id goes.
        if home != self.own.home || edge <= self.own.edge || self.listed.contains(&edge) {
            return Vec::new();
        }
        let old = self.near.get_mut(&edge);
        // Who says first that he is a box is taken for it until he is gone.
        if old
            .as_ref()
            .is_some_and(|old| old.name != name && old.lost_at.is_none())
        {
            return Vec::new();
        }
        if old.is_none() && self.near.len() >= NEIGHBOURS_MAX {
            tracing::debug!(%edge, "there are too many boxes near");
            return Vec::new();
        }
        let old = self.near.remove(&edge);
        let is_the_same =
            |old: &Neighbour| old.address.port == port && hosts.contains(&old.address.host);
        if let Some(old) = old
            .as_ref()
            .filter(|old| old.place.is_some() && is_the_same(old))
        {
            let (address, place) = (old.address, old.place);
            self.near.insert(
                edge,
                Neighbour {
                    name,
                    address,
                    place,
                    lost_at: None,
                },
            );
            return Vec::new();
        }
        let part = old.and_then(|old| Some(Step::Part(edge, old.place?)));
        let host = hosts
            .into_iter()
            .filter(is_of_use)
            .min_by_key(|host| (host.is_ipv6(), *host));
        let meet = host.map(|host| {
            let address = Address { host, port };
            self.near.insert(
                edge,
                Neighbour {
                    name,
                    address,
                    place: None,
                    lost_at: None,
                },
            );
            Step::Meet(edge, address)
        });
        part.into_iter().chain(meet).collect()
    }

    /// A box that was to be met is met here.
    pub(super) fn met(&mut self, edge: EdgeId, place: PlaceId) {
        if let Some(near) = self.near.get_mut(&edge) {
            near.place = Some(place);
        }
    }

    /// A name is not announced any more.
    pub(super) fn lost(&mut self, name: &str, now: Instant) {
        for near in self.near.values_mut().filter(|near| near.name == name) {
            near.lost_at.get_or_insert(now);
        }
    }

    /// Give up those that have been lost for long enough.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Step> {
        let is_overdue = |near: &Neighbour| {
            let lost_at = near.lost_at.as_ref();
            lost_at.is_some_and(|&at| now.duration_since(at) >= GONE_AFTER)
        };
        let gone = self.near.iter().filter(|(_, near)| is_overdue(near));
        let steps = gone
            .filter_map(|(&edge, near)| Some(Step::Part(edge, near.place?)))
            .collect();
        self.near.retain(|_, near| !is_overdue(near));
        steps
    }
}

/// An address of the link alone says nothing without its interface.
fn is_of_use(host: &IpAddr) -> bool {
    match host {
        IpAddr::V4(_) => true,
        IpAddr::V6(host) => !host.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours() -> Neighbours {
        let own = Identity::new(EdgeId(5), "lake".parse().expect("a home"), 1);
        Neighbours::new(own, HashSet::from([EdgeId(9)]))
    }

    fn advert(home: &str, edge: u64, hosts: &[&str], port: u16) -> Advert {
        Advert {
            home: home.parse().expect("a home"),
            edge: EdgeId(edge),
            hosts: hosts
                .iter()
                .map(|host| host.parse().expect("an address"))
                .collect(),
            port,
        }
    }

    fn meet(edge: u64, host: &str, port: u16) -> Step {
        let host = host.parse().expect("an address");
        Step::Meet(EdgeId(edge), Address { host, port })
    }

    #[test]
    fn the_smaller_goes_to_those_of_its_home_that_are_not_listed() {
        for (home, edge, goes) in [
            ("lake", 6, true),
            ("lake", 4, false),
            ("lake", 5, false),
            ("lake", 9, false),
            ("hill", 6, false),
        ] {
            let steps = neighbours().found("x".into(), advert(home, edge, &["10.0.0.2"], 1883));
            assert_eq!(!steps.is_empty(), goes, "{home} {edge}");
        }
    }

    #[test]
    fn an_address_that_can_be_reached_is_taken() {
        let found = |hosts: &[&str]| neighbours().found("x".into(), advert("lake", 6, hosts, 1));
        assert_eq!(
            found(&["fe80::1", "fd00::1", "10.0.0.2"]),
            [meet(6, "10.0.0.2", 1)]
        );
        assert_eq!(found(&["fe80::1", "fd00::1"]), [meet(6, "fd00::1", 1)]);
        assert_eq!(found(&["fe80::1"]), []);
        assert_eq!(found(&[]), []);
    }

    #[test]
    fn who_comes_back_soon_is_not_left() {
        let uplink_place = PlaceId::of_a_test(1);
        let (mut near, now) = (neighbours(), Instant::now());
        let here = || advert("lake", 6, &["10.0.0.2"], 1883);
        assert_eq!(near.found("x".into(), here()), [meet(6, "10.0.0.2", 1883)]);
        near.met(EdgeId(6), uplink_place);
        assert_eq!(near.found("x".into(), here()), []);
        near.lost("x", now);
        assert_eq!(near.found("x".into(), here()), []);
        assert_eq!(near.overdue(now + GONE_AFTER), []);
        // It has moved.
        let moved = advert("lake", 6, &["10.0.0.2"], 1884);
        let part = Step::Part(EdgeId(6), uplink_place);
        assert_eq!(
            near.found("x".into(), moved),
            [part.clone(), meet(6, "10.0.0.2", 1884)]
        );
        near.met(EdgeId(6), uplink_place);
        near.lost("x", now);
        near.lost("x", now + GONE_AFTER);
        assert_eq!(
            near.overdue(now + GONE_AFTER - Duration::from_millis(1)),
            []
        );
        assert_eq!(near.overdue(now + GONE_AFTER), [part]);
        assert_eq!(near.overdue(now + GONE_AFTER), []);
    }

    #[test]
    fn nobody_takes_the_place_of_a_box_that_is_there() {
        let (mut near, now) = (neighbours(), Instant::now());
        assert_eq!(
            near.found("x".into(), advert("lake", 6, &["10.0.0.2"], 1))
                .len(),
            1
        );
        near.met(EdgeId(6), PlaceId::of_a_test(1));
        assert_eq!(
            near.found("y".into(), advert("lake", 6, &["10.0.0.3"], 1)),
            []
        );
        near.lost("y", now);
        assert_eq!(near.overdue(now + GONE_AFTER), []);
        near.lost("x", now);
        assert_eq!(
            near.found("y".into(), advert("lake", 6, &["10.0.0.3"], 1))
                .len(),
            2
        );
    }

    #[test]
    fn there_are_not_too_many() {
        let mut near = neighbours();
        let met = (10..100).filter(|&edge| {
            !near
                .found(format!("{edge}"), advert("lake", edge, &["10.0.0.2"], 1))
                .is_empty()
        });
        assert_eq!(met.count(), NEIGHBOURS_MAX);
    }
}
