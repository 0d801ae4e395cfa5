use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tarn_common::twin::{
    document::DocumentId,
    home::{HomeTwins, TwinError},
    replica::Replica,
};
use tarn_rules::Place;

use super::{setting, setting_of};

/// Setting of where the home is.
const PLACE: &str = "place";

/// Where a home is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceRecord {
    /// Its time zone, by its IANA name; the box's where nobody said it.
    pub time_zone: Option<String>,
    /// Latitude in degrees, north of the equator above zero.
    pub latitude: Option<f64>,
    /// Longitude in degrees, east of Greenwich above zero.
    pub longitude: Option<f64>,
}

impl PlaceRecord {
    /// As rules take it; in this time zone where none is known.
    #[must_use]
    pub fn or(&self, zone: TimeZone) -> Place {
        let named = self.time_zone.as_deref().map(TimeZone::get);
        Place {
            zone: named.and_then(Result::ok).unwrap_or(zone),
            coordinates: self.latitude.zip(self.longitude),
        }
    }
}

/// Where a home is, as far as somebody said it.
#[must_use]
pub fn place(replica: &Replica, now_ms: i64) -> PlaceRecord {
    let home = replica.document(&DocumentId::home());
    home.and_then(|home| setting_of(home, PLACE, now_ms))
        .unwrap_or_default()
}

/// Say where a home is. On return that is stored.
///
/// # Errors
/// It cannot be stored.
pub async fn set_place(twins: &HomeTwins, place: &PlaceRecord, by: &str) -> Result<(), TwinError> {
    let decide = |_: &Replica| Ok::<_, TwinError>(vec![setting(PLACE, json!(place))]);
    twins.edit_if(decide, by).await.map(drop)
}
