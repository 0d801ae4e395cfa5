use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// What a broker and its clients need for TLS on the loopback, as PEM files.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that the clients trust.
    pub ca: PathBuf,
    /// The broker's certificate, for the name `localhost` and the address 127.0.0.1.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority and a certificate signed by it, in `folder`.
    #[must_use]
    pub fn make(folder: &Path) -> Certificates {
        let made = Certificates {
            ca: folder.join("ca.pem"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(vec![]).expect("no names");
        // Clients take a certificate that has its issuer's name for one that signed itself.
        ca.distinguished_name
            .push(DnType::CommonName, "authority of the tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = ca.self_signed(&ca_key).expect("signs");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .expect("good names")
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .expect("signs");
        write(&made.ca, &root.pem());
        write(&made.certificate, &certificate.pem());
        write(&made.key, &key.serialize_pem());
        made
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}
