use serde::{Deserialize, Serialize};

/// A map at the root of a document, of attributes and scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// Name, room, owner and deletion of a device: writes by anyone.
    Meta,
    /// What a device announced; only its owner writes it.
    About,
    /// What a device says that it is; only its owner writes it.
    Reported,
    /// What is wanted of a device: writes by anyone.
    Desired,
    /// What became of the latest command of an attribute, `id:status` or `id:status:reason`; only its owner writes it.
    Ack,
    /// How it is decided between writes of an attribute, where not by time; only its owner writes it.
    Policy,
    /// Rooms by name.
    Rooms,
    /// Members of the household.
    Members,
    /// Boxes by id.
    Boxes,
    /// Rules.
    Rules,
    /// Settings of the home.
    Settings,
}

impl Section {
    pub(super) const OF_DEVICE: [Section; 6] = [
        Section::Meta,
        Section::About,
        Section::Reported,
        Section::Desired,
        Section::Ack,
        Section::Policy,
    ];
    pub(super) const OF_HOME: [Section; 5] = [
        Section::Rooms,
        Section::Members,
        Section::Boxes,
        Section::Rules,
        Section::Settings,
    ];

    /// Its key in the document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Section::Meta => "meta",
            Section::About => "about",
            Section::Reported => "reported",
            Section::Desired => "desired",
            Section::Ack => "ack",
            Section::Policy => "policy",
            Section::Rooms => "rooms",
            Section::Members => "members",
            Section::Boxes => "boxes",
            Section::Rules => "rules",
            Section::Settings => "settings",
        }
    }

    /// Whether anyone may write to it, so that its scalars are [`Write`]s.
    #[must_use]
    pub fn has_writes(self) -> bool {
        !matches!(
            self,
            Section::About | Section::Reported | Section::Ack | Section::Policy
        )
    }
}
