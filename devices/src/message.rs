use crate::fault::{Fault, FaultKind};

/// One PUBLISH, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Application payload, any bytes.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The payload of a message that teaches; none where it is empty and takes back what was taught.
    ///
    /// # Errors
    /// It has more than `bytes_max`.
    pub(crate) fn lesson(&self, bytes_max: usize) -> Result<Option<&'a [u8]>, Fault> {
        let bytes = self.payload.len();
        if bytes > bytes_max {
            let detail = format!("{bytes} bytes, more than {bytes_max}");
            return Err(Fault::new(FaultKind::TooLarge, detail));
        }
        Ok(Some(self.payload).filter(|payload| !payload.trim_ascii().is_empty()))
    }

    /// The payload as text without surrounding space; none where it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.payload).ok().map(str::trim)
    }
}
