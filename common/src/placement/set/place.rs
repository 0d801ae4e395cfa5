use url::Url;

use super::{Member, SetError};

/// Parts of words that the names of secrets have.
const SECRETS: [&str; 8] = [
    "secret",
    "key",
    "token",
    "password",
    "passwd",
    "credential",
    "signature",
    "auth",
];
/// What a URL may say of a store beside where it is.
const NOT_WHERE: [&str; 3] = ["name", "weight", "zone"];

/// Where a store is, however its URL is written; two of one place are equal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    scheme: String,
    host: Option<String>,
    port: Option<u16>,
    path: String,
    query: Vec<(String, String)>,
}

/// Where a store is. Its URL is seen by everybody who sees the set, so nothing secret may be in it.
pub(super) fn place_of(member: &Member) -> Result<Place, SetError> {
    let url = Url::parse(&member.url).map_err(|_| SetError::Url(member.name.clone()))?;
    let in_query = url.query_pairs().find_map(|(key, _)| {
        let key = key.to_ascii_lowercase();
        SECRETS.iter().any(|word| key.contains(word)).then_some(key)
    });
    let in_front = (!url.username().is_empty() || url.password().is_some())
        .then(|| "a user or password".to_owned());
    if let Some(what) = in_front.or(in_query) {
        return Err(SetError::Secret {
            name: member.name.clone(),
            what,
            variable: member.name.variable("SECRET_ACCESS_KEY"),
        });
    }
    let query = url.query_pairs().into_owned();
    let mut query: Vec<_> = query
        .filter(|(key, _)| !NOT_WHERE.contains(&key.as_str()))
        .collect();
    query.sort_unstable();
    let segments = url.path().split('/').filter(|segment| !segment.is_empty());
    Ok(Place {
        scheme: url.scheme().to_owned(),
        host: url.host_str().map(str::to_ascii_lowercase),
        port: url.port_or_known_default(),
        path: segments.collect::<Vec<_>>().join("/"),
        query,
    })
}
