use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};
use tarn_rules::{check::check_scene, group::Group};

use crate::{
    access::By,
    api::Api,
    automation::{self, Scene as Definition, Started, set_group},
    devices::{Access, Command, DeviceError},
    problem::Failure,
    rules_api::{RuleAction, RuleGroup, Tag, actions_of, check_id, known_of, refused, told},
    types::moment,
};

/// Scenes of a home.
#[derive(Debug, Object)]
pub(crate) struct SceneList {
    /// By id.
    scenes: Vec<StoredScene>,
}

/// A scene of a home.
#[derive(Debug, Object)]
pub(crate) struct StoredScene {
    /// Its id.
    scene: String,
    /// What people call it.
    name: String,
    /// What is done, in this order.
    then: Vec<RuleAction>,
    /// When somebody wanted it last, RFC 3339 UTC; null where nobody did.
    started: Option<String>,
    /// Who wanted it last; null where nobody did.
    by: Option<String>,
}

/// What several devices do at once.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct Scene {
    /// What people call it.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    /// What is done, in this order: everything that rules do, but for alarms and other scenes.
    #[oai(validator(min_items = 1, max_items = 100))]
    then: Vec<RuleAction>,
}

/// What became of what was wanted of many devices.
#[derive(Debug, Object)]
pub(crate) struct GroupSet {
    /// Devices that it was said to, by id.
    devices: Vec<GroupDevice>,
}

/// What became of what was wanted of one of many devices.
#[derive(Debug, Object)]
pub(crate) struct GroupDevice {
    /// Id of the device.
    device: String,
    /// The commands; `GET …/commands/{command}` follows them.
    commands: Vec<Command>,
    /// Why it was not to be had; null where it was.
    problem: Option<String>,
}

/// The mode of a home.
#[derive(Debug, Object)]
pub(crate) struct Mode {
    /// Its name, like `home`, `away`, `night` or `holiday`.
    #[oai(validator(min_length = 1, max_length = 48, pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    mode: String,
}

#[derive(ApiResponse)]
enum ScenesOk {
    /// The scenes.
    #[oai(status = 200)]
    Scenes(Json<SceneList>),
}

#[derive(ApiResponse)]
enum SceneOk {
    /// The scene.
    #[oai(status = 200)]
    Scene(Json<StoredScene>),
}

#[derive(ApiResponse)]
enum StartOk {
    /// It is stored that it is wanted; the box of the home carries it out.
    #[oai(status = 202)]
    Scene(Json<StoredScene>),
}

#[derive(ApiResponse)]
enum Gone {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum GroupOk {
    /// What was said to whom.
    #[oai(status = 202)]
    Set(Json<GroupSet>),
}

#[derive(ApiResponse)]
enum ModeOk {
    /// The mode.
    #[oai(status = 200)]
    Mode(Json<Mode>),
}

/// The scenes and modes of homes.
#[derive(Clone, Default)]
pub(crate) struct ScenesApi {
    pub(crate) access: Access,
    pub(crate) api: Api,
}

#[OpenApi]
impl ScenesApi {
    /// List the scenes of a home
    ///
    /// What several devices do at once, and when somebody wanted it last.
    #[oai(
        path = "/v1/homes/:home/scenes",
        method = "get",
        operation_id = "listScenes",
        tag = "Tag::Rules"
    )]
    async fn list_scenes(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<ScenesOk, Failure> {
        let place = self.access.twins(&home).await?;
        let (scenes, mut starts) = place.twins.read(|replica| {
            (
                automation::scenes(replica, place.now_ms),
                automation::starts(replica, place.now_ms),
            )
        });
        let scenes = scenes.into_iter();
        let scenes = scenes.map(|(id, scene)| {
            let started = starts.remove(&id);
            StoredScene::of(id, scene, started)
        });
        Ok(ScenesOk::Scenes(Json(SceneList {
            scenes: scenes.collect(),
        })))
    }

    /// Set a scene
    ///
    /// Makes it, or puts it in the place of the one that was. It is checked as rules are.
    #[oai(
        path = "/v1/homes/:home/scenes/:scene",
        method = "put",
        operation_id = "putScene",
        tag = "Tag::Rules"
    )]
    async fn put_scene(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the scene: small letters, digits, `-` and `_`.
        #[oai(validator(max_length = 48))]
        scene: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        definition: Json<Scene>,
    ) -> Result<SceneOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        check_id("scene", &scene)?;
        let place = self.access.twins(&home).await?;
        let wanted = Definition {
            name: definition.0.name,
            then: actions_of(&definition.0.then)?,
        };
        let known = known_of(&self.api, &place).await?;
        check_scene(&wanted.then, &known).map_err(|faults| refused(&faults))?;
        automation::set_scene(&place.twins, &scene, Some(&wanted), &by, place.now_ms)
            .await
            .map_err(DeviceError::from)?;
        let started = place
            .twins
            .read(|replica| automation::starts(replica, place.now_ms).remove(&scene.0));
        let stored = StoredScene::of(scene.0, wanted, started);
        Ok(SceneOk::Scene(Json(stored)))
    }

    /// Remove a scene
    ///
    /// Rules that start it do that part no more.
    #[oai(
        path = "/v1/homes/:home/scenes/:scene",
        method = "delete",
        operation_id = "deleteScene",
        tag = "Tag::Rules"
    )]
    async fn delete_scene(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the scene.
        #[oai(validator(max_length = 48))]
        scene: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<Gone, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let gone = automation::set_scene(&place.twins, &scene, None, &by, place.now_ms).await;
        match gone.map_err(DeviceError::from)? {
            true => Ok(Gone::Done),
            false => Err(no_scene(&scene)),
        }
    }

    /// Start a scene
    ///
    /// The box of the home carries it out: at once where it is there, and not at all where it comes back more than a minute later.
    /// `GET …/firings` tells what was done.
    #[oai(
        path = "/v1/homes/:home/scenes/:scene/start",
        method = "post",
        operation_id = "startScene",
        tag = "Tag::Rules"
    )]
    async fn start_scene(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the scene.
        #[oai(validator(max_length = 48))]
        scene: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
    ) -> Result<StartOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        automation::start_scene(&place.twins, &scene, &by, place.now_ms)
            .await
            .map_err(DeviceError::from)?;
        let stored = place.twins.read(|replica| {
            let scene = automation::scenes(replica, place.now_ms).remove(&scene.0)?;
            Some((scene, automation::starts(replica, place.now_ms)))
        });
        let (found, mut starts) = stored.ok_or_else(|| no_scene(&scene))?;
        let started = starts.remove(&scene.0);
        let stored = StoredScene::of(scene.0, found, started);
        Ok(StartOk::Scene(Json(stored)))
    }

    /// Set all devices of a kind
    ///
    /// In a room or everywhere, whatever their make: each is told in its own words. What is stored reaches devices that are away
    /// when they come back.
    #[oai(
        path = "/v1/homes/:home/group",
        method = "post",
        operation_id = "setGroup",
        tag = "Tag::Rules"
    )]
    async fn set_group(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        group: Json<RuleGroup>,
    ) -> Result<GroupOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let group: Group = group.0.definition()?;
        let announced = self.api.announced(&place.home, &place.devices).await?;
        let set = set_group(&*place.devices, &place.home, &announced, &group, &by).await;
        if set.is_empty() {
            let room = group.room.as_deref().unwrap_or("any room");
            return Err(Failure::not_found(format!(
                "no {} in {room} can be set to this",
                group.component
            )));
        }
        let devices = set.into_iter().map(|(device, set)| {
            let (commands, problem) = match set {
                Ok(commands) => (commands, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            GroupDevice {
                device,
                commands,
                problem,
            }
        });
        Ok(GroupOk::Set(Json(GroupSet {
            devices: devices.collect(),
        })))
    }

    /// Read the mode of a home
    ///
    /// Rules go by it.
    #[oai(
        path = "/v1/homes/:home/mode",
        method = "get",
        operation_id = "getMode",
        tag = "Tag::Rules"
    )]
    async fn get_mode(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
    ) -> Result<ModeOk, Failure> {
        let place = self.access.twins(&home).await?;
        let mode = place
            .twins
            .read(|replica| automation::mode(replica, place.now_ms));
        Ok(ModeOk::Mode(Json(Mode { mode })))
    }

    /// Put a home into a mode
    ///
    /// Any name is a mode: rules give it its meaning.
    #[oai(
        path = "/v1/homes/:home/mode",
        method = "put",
        operation_id = "setMode",
        tag = "Tag::Rules"
    )]
    async fn set_mode(
        &self,
        caller: By,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Who asks; `box` or `cloud` where it is not said.
        #[oai(name = "tarn-author")]
        author: Header<Option<String>>,
        mode: Json<Mode>,
    ) -> Result<ModeOk, Failure> {
        let by = self.access.author(&caller, author.0)?;
        let place = self.access.twins(&home).await?;
        let set = automation::set_mode(&place.twins, &mode.mode, &by).await;
        set.map_err(DeviceError::from)?;
        self.access.rules_taken().await?;
        Ok(ModeOk::Mode(mode))
    }
}

impl StoredScene {
    fn of(id: String, scene: Definition, started: Option<Started>) -> StoredScene {
        let (at, by) = started
            .map(|started| (moment(started.at_ms), started.by))
            .unzip();
        StoredScene {
            scene: id,
            name: scene.name,
            then: told(&scene.then),
            started: at,
            by,
        }
    }
}

fn no_scene(id: &str) -> Failure {
    Failure::not_found(format!(
        "there is no scene {id:?}; GET …/scenes lists those that are"
    ))
}
