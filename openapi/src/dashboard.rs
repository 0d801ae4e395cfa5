use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, Write},
    sync::OnceLock,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Body, Request, Response,
    http::{Method, StatusCode, header},
};
use rust_embed::RustEmbed;

use crate::problem::Problem;

/// What Vite has made of `dashboard/`, as it was when this was compiled. Nothing where it was not made.
#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Files;

/// The page itself.
const INDEX: &str = "index.html";
/// Files whose names tell what is in them, so that they may be kept for ever.
const ASSETS: &str = "assets/";
/// The one of them whose name never changes.
const ICON: &str = "assets/tarn.svg";
/// The page loads nothing from outside, and nobody may show it inside of his own.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
/// What is said where the dashboard was not made.
const ABSENT: &str = "<!doctype html><title>Tarn</title><p>This build has no dashboard: run <code>make dashboard</code> before <code>cargo build</code>. The interface is described at <a href=\"/docs\">/docs</a>.";

/// One file, and the same compressed.
#[derive(Debug)]
struct Packed {
    plain: Bytes,
    gzip: Option<Bytes>,
    kind: String,
    etag: String,
}

/// Whether a request is for the dashboard.
pub(crate) fn has(request: &Request) -> bool {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path().strip_prefix('/');
    is_read && path.is_some_and(|path| path.is_empty() || path.starts_with(ASSETS))
}

/// Answer with a file of the dashboard, by the path of the request.
pub(crate) fn serve(request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { INDEX } else { path };
    let Some(file) = files().get(path) else {
        return match path {
            INDEX => Response::builder()
                .content_type("text/html; charset=utf-8")
                .body(ABSENT),
            _ => Problem::new(StatusCode::NOT_FOUND, "there is no such page").into_response(),
        };
    };
    let kept = if path.starts_with(ASSETS) && path != ICON {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let response = Response::builder()
        .header(header::CACHE_CONTROL, kept)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::ETAG, &file.etag)
        .header(header::VARY, "accept-encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .content_type(&file.kind);
    if request.header(header::IF_NONE_MATCH) == Some(&file.etag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    let accepts = request.header(header::ACCEPT_ENCODING).unwrap_or_default();
    match &file.gzip {
        Some(gzip)
            if accepts
                .split(',')
                .any(|name| name.trim().starts_with("gzip")) =>
        {
            response
                .header(header::CONTENT_ENCODING, "gzip")
                .body(Body::from(gzip.clone()))
        }
        _ => response.body(Body::from(file.plain.clone())),
    }
}

fn files() -> &'static HashMap<Cow<'static, str>, Packed> {
    static FILES: OnceLock<HashMap<Cow<'static, str>, Packed>> = OnceLock::new();
    FILES.get_or_init(|| {
        let found = Files::iter().filter_map(|path| Some((path.clone(), pack(Files::get(&path)?))));
        found.collect()
    })
}

fn pack(file: rust_embed::EmbeddedFile) -> Packed {
    let kind = file.metadata.mimetype().to_owned();
    let is_text = kind.starts_with("text/")
        || kind.contains("javascript")
        || kind.contains("svg")
        || kind.contains("json");
    let gzip = is_text.then(|| gzip(&file.data).ok()).flatten();
    Packed {
        etag: format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..8])),
        plain: Bytes::from(file.data.into_owned()),
        gzip: gzip.map(Bytes::from),
        kind: if is_text {
            format!("{kind}; charset=utf-8")
        } else {
            kind
        },
    }
}

fn gzip(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data)?;
    encoder.finish()
}
