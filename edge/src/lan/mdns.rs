use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use mdns_sd::{
    IfKind, Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use tokio::time::timeout;

use super::neighbours::Advert;
use crate::identity::Identity;

/// What boxes are announced as.
const SERVICE: &str = "_tarn._tcp.local.";
/// How long a farewell may take.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// What is heard on the LAN.
#[derive(Debug)]
pub(super) enum Sighting {
    /// Somebody is announced under a name.
    Found(String, Advert),
    /// A name is not announced any more.
    Lost(String),
}

/// Announcing this box, and hearing of others.
pub(super) struct Mdns {
    daemon: ServiceDaemon,
    name: String,
    events: Receiver<ServiceEvent>,
}

impl Mdns {
    /// Announce a listener of this box, and listen for others.
    pub(super) fn start(identity: &Identity, listener: SocketAddr) -> mdns_sd::Result<Mdns> {
        let daemon = ServiceDaemon::new()?;
        only_where_it_is_reached(&daemon, listener.ip())?;
        let info = info(identity, listener)?;
        let name = info.get_fullname().to_owned();
        daemon.register(info)?;
        let events = daemon.browse(SERVICE)?;
        Ok(Mdns {
            daemon,
            name,
            events,
        })
    }

    /// What is heard next; none once nothing is heard any more. May be dropped at any time without losing anything.
    pub(super) async fn next(&mut self) -> Option<Sighting> {
        loop {
            match self.events.recv_async().await.ok()? {
                ServiceEvent::ServiceResolved(service) => {
                    let name = service.get_fullname().to_owned();
                    match advert(&service) {
                        Some(advert) => return Some(Sighting::Found(name, advert)),
                        None => tracing::debug!(name, "an announcement that is no box's"),
                    }
                }
                ServiceEvent::ServiceRemoved(_, name) => return Some(Sighting::Lost(name)),
                _ => {}
            }
        }
    }

    /// Say farewell.
    pub(super) async fn shutdown(self) {
        let leaving = async {
            if let Ok(left) = self.daemon.unregister(&self.name) {
                let _ = left.recv_async().await;
            }
            if let Ok(stopped) = self.daemon.shutdown() {
                let _ = stopped.recv_async().await;
            }
        };
        let _ = timeout(FAREWELL_TIME_MAX, leaving).await;
    }
}

/// A listener for this machine alone is announced to it alone, any other to all but it.
fn only_where_it_is_reached(daemon: &ServiceDaemon, listener: IpAddr) -> mdns_sd::Result<()> {
    if listener.is_loopback() {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::Addr(listener))
    } else {
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
    }
}

fn info(identity: &Identity, listener: SocketAddr) -> mdns_sd::Result<ServiceInfo> {
    let edge = identity.edge.to_string();
    let host = format!("tarn-{edge}.local.");
    let said = [
        ("home", identity.home.to_string()),
        ("edge", edge.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let (ip, port) = (listener.ip(), listener.port());
    if ip.is_unspecified() {
        Ok(ServiceInfo::new(SERVICE, &edge, &host, "", port, &said[..])?.enable_addr_auto())
    } else {
        ServiceInfo::new(SERVICE, &edge, &host, ip, port, &said[..])
    }
}

fn advert(service: &ResolvedService) -> Option<Advert> {
    let said = |key| service.get_property_val_str(key);
    let hosts = service.get_addresses().iter();
    Some(Advert {
        home: said("home")?.parse().ok()?,
        edge: said("edge")?.parse().ok()?,
        hosts: hosts.map(ScopedIp::to_ip_addr).collect(),
        port: service.get_port(),
    })
}
