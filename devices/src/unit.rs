/// stub
#[must_use]
pub fn normalise(_raw: &str) -> Option<&'static str> {
    None
}
/// stub
#[must_use]
pub fn fits(_class: &str, _unit: &str) -> bool {
    true
}
