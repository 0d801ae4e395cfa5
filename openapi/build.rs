//! Compiles the dashboard in again when it was made anew.

use std::path::Path;

fn main() {
    // Cargo takes a path that is not there for one that has always changed.
    let made = Path::new("../dashboard/dist");
    let watched = if made.exists() {
        made
    } else {
        Path::new("../dashboard")
    };
    if watched.exists() {
        println!("cargo:rerun-if-changed={}", watched.display());
    } else {
        println!("cargo:rerun-if-changed=build.rs");
    }
}
