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
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Fault {
        Fault {
            kind,
            detail: detail.into(),
        }
    }
}
