use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Header, Path},
    payload::{Binary, Json},
};
use serde_json::{Value, json};
use tarn_common::twin::{
    document::{Document, DocumentId, Section},
    edit::Edit,
    replica::Replica,
};

use crate::{
    access::By,
    automation,
    devices::{Access, BoxInfo, DeviceError, Place, author, twin},
    frames,
    problem::Failure,
    rules_api::RuleWhereabouts,
    server::REQUEST_BYTES_MAX,
    twins_api::is_news,
    types::moment,
};

/// A home, by what its twins say.
#[derive(Debug, Object)]
pub(crate) struct HomeDetail {
    /// Its name.
    home: String,
    /// Its rooms by name: those that were made, and those that devices are in.
    rooms: Vec<Room>,
    /// Members of the household, by id.
    members: Vec<Member>,
    /// Its boxes.
    boxes: Vec<BoxInfo>,
    /// How many devices it has.
    devices: u64,
}

/// A room of a home.
#[derive(Debug, Object)]
pub(crate) struct Room {
    /// Its name.
    room: String,
    /// How many devices are in it.
    devices: u64,
}

/// Members of a household.
#[derive(Debug, Object)]
pub(crate) struct Members {
    /// By id.
    members: Vec<Member>,
}

/// A member of a household.
#[derive(Debug, Object)]
pub(crate) struct Member {
    /// The member's id.
    member: String,
    /// The member's name for people; null without one.
    name: Option<String>,
    /// What the member is in the household; null where nobody said it.
    role: Option<String>,
    /// Series that tells where the member is, as a device's id, a slash and the metric; null where none does.
    tracker: Option<String>,
    /// Where the member is; null where nobody said it.
    is: Option<RuleWhereabouts>,
    /// Since when, RFC 3339 UTC; null where nobody said it.
    since: Option<String>,
}

/// What is said of a member of a household.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct MemberUpdate {
    /// The member's name for people.
    #[oai(validator(max_length = 256))]
    name: Option<String>,
    /// What the member is in the household, like `owner`, `adult`, `child` or `guest`.
    #[oai(validator(max_length = 64))]
    role: Option<String>,
    /// Series that tells where the member is, like a telephone's: a device's id, a slash and the metric. `home`, `on` and 1
    /// mean at home, everything else elsewhere.
    #[oai(validator(max_length = 512))]
    tracker: Option<String>,
}

/// Where a member is.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct Presence {
    /// At home or elsewhere.
    is: RuleWhereabouts,
}

/// Where a home is.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct HomePlace {
    /// Its time zone, by its IANA name, like `Europe/Vienna`; null where nobody said it.
    #[oai(validator(max_length = 64))]
    time_zone: Option<String>,
    /// Latitude in degrees, north of the equator above zero; null where nobody said it. Sunrise and sunset follow from it.
    #[oai(validator(minimum(value = "-90"), maximum(value = "90")))]
    latitude: Option<f64>,
    /// Longitude in degrees, east of Greenwich above zero; null where nobody said it.
    #[oai(validator(minimum(value = "-180"), maximum(value = "180")))]
    longitude: Option<f64>,
}

/// Boxes of a home.
#[derive(Debug, Object)]
pub(crate) struct Boxes {
    /// By id.
    boxes: Vec<BoxInfo>,
}

#[derive(Tags)]
enum Tag {
    /// A home: rooms, members, boxes.
    Homes,
    /// How twins are made equal.
    Sync,
}

#[derive(ApiResponse)]
enum HomeOk {
    /// The home.
    #[oai(status = 200)]
    Home(Json<HomeDetail>),
}

#[derive(ApiResponse)]
enum RoomOk {
    /// The room.
    #[oai(status = 200)]
    Room(Json<Room>),
}

#[derive(ApiResponse)]
enum MembersOk {
    /// The members.
    #[oai(status = 200)]
    Members(Json<Members>),
}

#[derive(ApiResponse)]
enum MemberOk {
    /// The member.
    #[oai(status = 200)]
    Member(Json<Member>),
}

#[derive(ApiResponse)]
enum PlaceOk {
    /// Where it is.
    #[oai(status = 200)]
    Place(Json<HomePlace>),
}

#[derive(ApiResponse)]
enum BoxesOk {
    /// The boxes.
    #[oai(status = 200)]
    Boxes(Json<Boxes>),
}

#[derive(ApiResponse)]
enum Gone {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum SyncOk {
    /// Bodies to take in, one after the other, each behind its length as a little-endian `u32`; empty where there is nothing to
    /// say.
    #[oai(status = 200)]
    Frames(Binary<Vec<u8>>),
}

/// Operations on homes.
#[derive(Clone)]
pub(crate) struct HomesApi {
    pub(crate) access: Access,
}

#[OpenApi]
impl HomesApi {
    /// Look at a home
    ///
    /// Its rooms, the members of the household, its boxes and how they are, and the number of its devices.
    #[oai(
        path = "/v1/homes/:home",
        method = "get",
        operation_id = "getHome",
        tag = "Tag::Homes"
    )]
    async fn get_home(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<HomeOk, Failure> {
        let place = self.access.twins(&home).await?;
        let (rooms, devices) = rooms(&place).await;
        let boxes = place.devices.boxes(&place.home).await;
        Ok(HomeOk::Home(Json(HomeDetail {
            home: place.home.to_string(),
            rooms,
            members: members(&place),
            boxes,
            devices,
        })))
    }

    /// Make a room
    ///
    /// Rooms that devices are in need not be made. Doing it twice changes nothing.
    #[oai(
        path = "/v1/homes/:home/rooms/:room",
        method = "put",
        operation_id = "putRoom",
        tag = "Tag::Homes"
    )]
    async fn put_room(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Name of the room, percent-encoded.
        #[oai(validator(min_length = 1, max_length = 256))]
        room: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<RoomOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        put(&place, Section::Rooms, &room, json!({}), &by).await?;
        let (rooms, _) = rooms(&place).await;
        let made = rooms.into_iter().find(|made| made.room == room.0);
        Ok(RoomOk::Room(Json(made.unwrap_or(Room {
            room: room.0,
            devices: 0,
        }))))
    }

    /// Remove a room
    ///
    /// Devices stay in it for as long as they say so or nobody moves them.
    #[oai(
        path = "/v1/homes/:home/rooms/:room",
        method = "delete",
        operation_id = "deleteRoom",
        tag = "Tag::Homes"
    )]
    async fn delete_room(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Name of the room, percent-encoded.
        #[oai(validator(min_length = 1, max_length = 256))]
        room: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<Gone, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        take_away(&place, Section::Rooms, &room, &by).await?;
        Ok(Gone::Done)
    }

    /// List the members of a household
    ///
    /// Who lives in the home, as it was told.
    #[oai(
        path = "/v1/homes/:home/members",
        method = "get",
        operation_id = "listMembers",
        tag = "Tag::Homes"
    )]
    async fn list_members(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<MembersOk, Failure> {
        let place = self.access.twins(&home).await?;
        let members = members(&place);
        Ok(MembersOk::Members(Json(Members { members })))
    }

    /// Say who a member is
    ///
    /// Makes the member, or says anew who it is. Doing it twice changes nothing.
    #[oai(
        path = "/v1/homes/:home/members/:member",
        method = "put",
        operation_id = "putMember",
        tag = "Tag::Homes"
    )]
    async fn put_member(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the member, percent-encoded.
        #[oai(validator(min_length = 1, max_length = 128))]
        member: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        update: Json<MemberUpdate>,
    ) -> Result<MemberOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let Json(MemberUpdate {
            name,
            role,
            tracker,
        }) = update;
        let value = json!({"name": name, "role": role, "tracker": tracker});
        put(&place, Section::Members, &member, value, &by).await?;
        Ok(MemberOk::Member(Json(one_member(&place, &member)?)))
    }

    /// Say where a member is
    ///
    /// At home or elsewhere; rules go by it. A tracker of the member says it by itself.
    #[oai(
        path = "/v1/homes/:home/members/:member/presence",
        method = "put",
        operation_id = "setPresence",
        tag = "Tag::Homes"
    )]
    async fn set_presence(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the member, percent-encoded.
        #[oai(validator(min_length = 1, max_length = 128))]
        member: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        presence: Json<Presence>,
    ) -> Result<MemberOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        one_member(&place, &member)?;
        let is = presence.is.into();
        automation::set_presence(&place.twins, &member, is, &by, place.now_ms)
            .await
            .map_err(DeviceError::from)?;
        self.access.rules_taken().await?;
        Ok(MemberOk::Member(Json(one_member(&place, &member)?)))
    }

    /// Read where a home is
    ///
    /// Rules take the time of day, sunrise and sunset from it.
    #[oai(
        path = "/v1/homes/:home/place",
        method = "get",
        operation_id = "getPlace",
        tag = "Tag::Homes"
    )]
    async fn get_place(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<PlaceOk, Failure> {
        let place = self.access.twins(&home).await?;
        let said = place
            .twins
            .read(|replica| automation::place(replica, place.now_ms));
        Ok(PlaceOk::Place(Json(HomePlace {
            time_zone: said.time_zone,
            latitude: said.latitude,
            longitude: said.longitude,
        })))
    }

    /// Say where a home is
    ///
    /// Its time zone, and its coordinates for sunrise and sunset. A box goes by its own time zone where nobody said it.
    #[oai(
        path = "/v1/homes/:home/place",
        method = "put",
        operation_id = "setPlace",
        tag = "Tag::Homes"
    )]
    async fn set_place(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        wanted: Json<HomePlace>,
    ) -> Result<PlaceOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        if let Some(zone) = &wanted.time_zone {
            TimeZone::get(zone).map_err(|_| {
                Failure::bad_request(format!(
                    "time_zone: {zone:?} is not known; write it like Europe/Vienna or UTC"
                ))
            })?;
        }
        if wanted.latitude.is_some() != wanted.longitude.is_some() {
            return Err(Failure::bad_request(
                "latitude, longitude: say both, or neither",
            ));
        }
        let place = self.access.twins(&home).await?;
        let record = automation::PlaceRecord {
            time_zone: wanted.time_zone.clone(),
            latitude: wanted.latitude,
            longitude: wanted.longitude,
        };
        automation::set_place(&place.twins, &record, &by)
            .await
            .map_err(DeviceError::from)?;
        Ok(PlaceOk::Place(wanted))
    }

    /// Remove a member
    ///
    /// The member is no longer of the household.
    #[oai(
        path = "/v1/homes/:home/members/:member",
        method = "delete",
        operation_id = "deleteMember",
        tag = "Tag::Homes"
    )]
    async fn delete_member(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the member, percent-encoded.
        #[oai(validator(min_length = 1, max_length = 128))]
        member: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<Gone, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        take_away(&place, Section::Members, &member, &by).await?;
        Ok(Gone::Done)
    }

    /// List the boxes of a home
    ///
    /// Whether each is connected, its version, what waits on it to be shipped, and when it was last heard of.
    #[oai(
        path = "/v1/homes/:home/boxes",
        method = "get",
        operation_id = "listBoxes",
        tag = "Tag::Homes"
    )]
    async fn list_boxes(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<BoxesOk, Failure> {
        let place = self.access.twins(&home).await?;
        let boxes = place.devices.boxes(&place.home).await;
        Ok(BoxesOk::Boxes(Json(Boxes { boxes })))
    }

    /// Make twins equal
    ///
    /// One body of the sync protocol goes in, bodies to take in come out. It begins with a digest, and is over when nothing comes
    /// out. A body may be lost or come twice. What an answer has no room for is asked for again with the next digest.
    #[oai(
        path = "/v1/homes/:home/sync",
        method = "post",
        operation_id = "syncTwins",
        tag = "Tag::Sync"
    )]
    async fn sync_twins(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Name of the node that asks.
        #[oai(name = "tarn-node")]
        node: Header<String>,
        body: Binary<Vec<u8>>,
    ) -> Result<SyncOk, Failure> {
        let from = author(&node)?;
        let (home, devices) = self.access.devices(&home)?;
        let replies = devices.sync(&home, &from, &body).await?;
        Ok(SyncOk::Frames(Binary(frames::write(
            &replies,
            REQUEST_BYTES_MAX,
        ))))
    }
}

/// Rooms of a home, and how many devices it has.
async fn rooms(place: &Place) -> (Vec<Room>, u64) {
    let known = place.devices.known(&place.home).await;
    place.twins.read(|replica| {
        let devices = twin::all(known, replica, place.now_ms);
        let mut rooms: BTreeMap<String, u64> = BTreeMap::new();
        for (room, _) in said(replica, Section::Rooms, place.now_ms) {
            rooms.insert(room, 0);
        }
        let device_rooms = devices.iter().filter_map(|device| device.room.clone());
        for room in device_rooms {
            *rooms.entry(room).or_default() += 1;
        }
        let rooms = rooms.into_iter();
        let rooms = rooms.map(|(room, devices)| Room { room, devices });
        (rooms.collect(), devices.len() as u64)
    })
}

fn members(place: &Place) -> Vec<Member> {
    let (said, mut presence) = place.twins.read(|replica| {
        (
            said(replica, Section::Members, place.now_ms),
            automation::presence(replica, place.now_ms),
        )
    });
    let member = |(member, value): (String, Value)| {
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        let record = presence.remove(&member);
        Member {
            name: text("name"),
            role: text("role"),
            tracker: text("tracker"),
            is: record.as_ref().map(|record| record.is.into()),
            since: record.map(|record| moment(record.since_ms)),
            member,
        }
    };
    said.into_iter().map(member).collect()
}

fn one_member(place: &Place, id: &str) -> Result<Member, Failure> {
    let found = members(place)
        .into_iter()
        .find(|member| member.member == id);
    found.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no member {id:?}; GET …/members lists those that are"
        ))
    })
}

/// What the document of the home says in a section.
fn said(replica: &Replica, section: Section, now_ms: i64) -> Vec<(String, Value)> {
    let Some(document) = replica.document(&DocumentId::home()) else {
        return Vec::new();
    };
    let attributes = document.attributes(section).into_iter();
    let said = attributes.filter_map(|attribute| {
        let value = document.value(section, &attribute, now_ms)?;
        Some((attribute, value))
    });
    said.collect()
}

pub(crate) async fn put(
    place: &Place,
    section: Section,
    attribute: &str,
    value: Value,
    by: &str,
) -> Result<(), DeviceError> {
    let decide = |replica: &Replica| {
        let home = replica.document(&DocumentId::home());
        Ok::<_, DeviceError>(edit_of(place, home, section, attribute, value))
    };
    place.twins.edit_if(decide, by).await.map(drop)
}

pub(crate) async fn take_away(
    place: &Place,
    section: Section,
    attribute: &str,
    by: &str,
) -> Result<(), DeviceError> {
    let decide = |replica: &Replica| {
        let home = replica.document(&DocumentId::home());
        match home.and_then(|home| home.value(section, attribute, place.now_ms)) {
            Some(_) => Ok(edit_of(place, home, section, attribute, Value::Null)),
            None => Err(DeviceError::NotFound(format!(
                "{attribute:?} is none of the {} of this home",
                section.name()
            ))),
        }
    };
    place.twins.edit_if(decide, by).await.map(drop)
}

fn edit_of(
    place: &Place,
    home: Option<&Document>,
    section: Section,
    attribute: &str,
    value: Value,
) -> Vec<Edit> {
    if !is_news(home, section, attribute, &value, place.now_ms) {
        return Vec::new();
    }
    vec![Edit::new(DocumentId::home(), section, attribute, value)]
}
