use tarn_tests::process::Launch;
use tarn_tests::tools;

/// The demo ends by itself, having shown live figures and an SQL answer; it checks on its own that
/// every reading reached the lake, and its exit code says so.
#[test]
fn the_demo_shows_the_whole_road_and_ends_by_itself() {
    let folder = tools::folder("demo");
    let demo = Launch::command(folder.path(), "demo", &["demo", "--seconds", "5"]).run();
    let demo = demo.succeeded();
    for part in [
        "readings/s",
        "acked",
        "backlog",
        "chunks shipped",
        "rows in the lake",
        "| home-",
        "many makes",
        "security",
        "warmth",
        "energy",
        "devices",
        "health",
        "film",
        "one word",
    ] {
        assert!(demo.contains(part), "{part:?} is not in\n{demo}");
    }
}
