//! Prints an OpenAPI document: `document edge` or `document cloud`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("edge") => print!("{}", tarn_openapi::edge_document()),
        Some("cloud") => print!("{}", tarn_openapi::cloud_document()),
        _ => {
            eprintln!("say which document: edge or cloud");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
