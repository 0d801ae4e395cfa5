/// One PUBLISH, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Application payload, any bytes.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The payload as text without surrounding space; none where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.payload).ok().map(str::trim)
    }
}
