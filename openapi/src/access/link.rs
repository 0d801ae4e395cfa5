use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Tells the setup link in the log: whoever reads the log of a service owns it anyway.
pub fn tell_setup_link(http: SocketAddr, tls: bool) -> impl Fn(&str) + Send + Sync + 'static {
    move |code| {
        let url = setup_link(http, tls, code);
        tracing::info!(
            url,
            "there is no account yet; open this link once, within a day, to make the first"
        );
    }
}

/// The address of the dashboard's page that makes an account with a code.
#[must_use]
pub fn setup_link(http: SocketAddr, tls: bool, code: &str) -> String {
    let scheme = if tls { "https" } else { "http" };
    let mut reachable = http;
    match http {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            reachable.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            reachable.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    format!("{scheme}://{reachable}/#/setup/{code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_an_address_that_can_be_opened() {
        let link = |http: &str| setup_link(http.parse().expect("address"), false, "c0de");
        assert_eq!(link("0.0.0.0:8080"), "http://127.0.0.1:8080/#/setup/c0de");
        assert_eq!(link("[::]:8080"), "http://[::1]:8080/#/setup/c0de");
        let tls = setup_link("192.0.2.7:443".parse().expect("address"), true, "c");
        assert_eq!(tls, "https://192.0.2.7:443/#/setup/c");
    }
}
