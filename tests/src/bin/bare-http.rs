//! Serves one file as JSON at every path, by poem and nothing else: what benchmarks of the interface stand beside.

use std::path::PathBuf;

use clap::Parser;
use poem::{Response, Route, Server, endpoint::make_sync, listener::TcpListener};

#[derive(Parser)]
struct Args {
    /// The file.
    file: PathBuf,
    /// Where to listen, like 127.0.0.1:8080.
    #[arg(long)]
    http: String,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let body = bytes::Bytes::from(std::fs::read(args.file)?);
    let answer = move |_| {
        Response::builder()
            .content_type("application/json")
            .body(body.clone())
    };
    let routes = Route::new().at("/*path", poem::get(make_sync(answer)));
    Server::new(TcpListener::bind(args.http)).run(routes).await
}
