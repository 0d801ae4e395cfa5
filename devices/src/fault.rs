/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A discovery message, announcement or birth certificate that cannot be understood.
    Announcement,
    /// A template that does not compile, fails, or takes too long.
    Template,
    /// A payload that is not what its topic was announced to carry, or nests too deep.
    Payload,
    /// Two points claim one `unique_id`; the first keeps it.
    DuplicateId,
    /// A topic that announced one device announces another now.
    IdentityChanged,
    /// A unit that does not fit the device class, or that nobody knows.
    Unit,
    /// A device's clock is far from the box's.
    Clock,
    /// More devices, points or bytes than a bound allows.
    TooLarge,
}

impl FaultKind {
    /// Its name in answers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Announcement => "announcement",
            FaultKind::Template => "template",
            FaultKind::Payload => "payload",
            FaultKind::DuplicateId => "duplicate_id",
            FaultKind::IdentityChanged => "identity_changed",
            FaultKind::Unit => "unit",
            FaultKind::Clock => "clock",
            FaultKind::TooLarge => "too_large",
        }
    }
}

/// Bytes of a fault's detail at most: what a device says may stand in it, however long that is.
const DETAIL_BYTES_MAX: usize = 1024;

/// Something wrong with what a device says. Its raw reading is kept all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.name())]
pub struct Fault {
    /// What kind of thing is wrong.
    pub kind: FaultKind,
    /// What is wrong, for people.
    pub detail: String,
}

impl Fault {
    /// A fault of this kind. Too long a detail is cut off.
    #[must_use]
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Fault {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            let is_whole = |end: &usize| detail.is_char_boundary(*end);
            let end = (0..=DETAIL_BYTES_MAX).rev().find(is_whole).unwrap_or(0);
            detail.truncate(end);
            detail.push('…');
            detail.shrink_to_fit();
        }
        Fault { kind, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_off() {
        let fault = Fault::new(
            FaultKind::Unit,
            format!("x{}", "ä".repeat(DETAIL_BYTES_MAX)),
        );
        assert!(fault.detail.len() <= DETAIL_BYTES_MAX + '…'.len_utf8());
        assert!(fault.detail.ends_with("ä…"));
    }
}
