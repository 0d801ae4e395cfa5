//! Which options of a component make which points.

/// Components of many parts.
mod composite;

use self::composite::{CLIMATE, FAN, HUMIDIFIER, LIGHT, MEDIA_PLAYER};

/// One point of a component.
#[derive(Debug)]
pub(super) struct Part {
    /// What it is within the entity; empty for the entity's own state.
    pub(super) name: &'static str,
    /// Keys of the state's topic and of its template (several, parted by spaces: the first that is there).
    pub(super) state: (&'static str, &'static str),
    /// Keys of the command's topic and of its template.
    pub(super) command: (&'static str, &'static str),
    /// What it takes.
    pub(super) takes: Takes,
    /// What unit it has.
    pub(super) unit: Unit,
}

/// A key, and what it is where it is not there.
type Number = (&'static str, Option<f64>);

/// What a point takes.
#[derive(Debug)]
pub(super) enum Takes {
    /// Nothing is known, or it is only read.
    Any,
    /// Text.
    Text,
    /// On and off: key and default of the payloads, then of the states.
    Switch {
        on: (&'static str, &'static str),
        off: (&'static str, &'static str),
        is_on: (&'static str, &'static str),
        is_off: (&'static str, &'static str),
    },
    /// A number.
    Number {
        min: Number,
        max: Number,
        step: Number,
    },
    /// One word of the list under a key.
    Options {
        key: &'static str,
        default: &'static [&'static str],
    },
    /// States (key, default, name, number) and commands (name, key, default, the number of the state that follows).
    Words {
        states: &'static [(&'static str, &'static str, &'static str, Option<f64>)],
        commands: &'static [(
            &'static str,
            &'static str,
            Option<&'static str>,
            Option<f64>,
        )],
    },
    /// It is pressed.
    Press {
        key: &'static str,
        default: &'static str,
    },
    /// Several numbers.
    Object(&'static [&'static str]),
}

/// What unit a point has.
#[derive(Debug)]
pub(super) enum Unit {
    /// None.
    None,
    /// The entity's `unit_of_measurement`.
    Own,
    /// The entity's `temperature_unit`.
    Temperature,
    /// Relative humidity.
    Humidity,
    /// This one.
    Is(&'static str),
}

const NONE: (&str, &str) = ("", "");
const STATE: (&str, &str) = ("state_topic", "value_template");
const COMMAND: (&str, &str) = ("command_topic", "command_template");
const ON: (&str, &str) = ("payload_on", "ON");
const OFF: (&str, &str) = ("payload_off", "OFF");
pub(super) const SWITCH: Takes = Takes::Switch {
    on: ON,
    off: OFF,
    is_on: ("state_on", ""),
    is_off: ("state_off", ""),
};
const PERCENT: Takes = Takes::Number {
    min: ("", Some(0.0)),
    max: ("", Some(100.0)),
    step: ("", None),
};
const TEMPERATURE: Takes = Takes::Number {
    min: ("min_temp", None),
    max: ("max_temp", None),
    step: ("temp_step", None),
};
const HUMIDITY: Takes = Takes::Number {
    min: ("min_humidity", Some(0.0)),
    max: ("max_humidity", Some(100.0)),
    step: ("", None),
};

/// A part.
const fn part(
    name: &'static str,
    state: (&'static str, &'static str),
    command: (&'static str, &'static str),
    takes: Takes,
    unit: Unit,
) -> Part {
    Part {
        name,
        state,
        command,
        takes,
        unit,
    }
}

/// A command that is pressed, with its payload.
const fn press(
    name: &'static str,
    topic: &'static str,
    key: &'static str,
    default: &'static str,
) -> Part {
    part(
        name,
        NONE,
        (topic, ""),
        Takes::Press { key, default },
        Unit::None,
    )
}

/// A part that is only read.
const fn reads(name: &'static str, topic: &'static str, template: &'static str) -> Part {
    part(name, (topic, template), NONE, Takes::Any, Unit::None)
}

/// The parts of a component; those of an unknown one are whatever state and command it has.
pub(super) fn parts(component: &str) -> &'static [Part] {
    match component {
        "sensor" => SENSOR,
        "binary_sensor" | "switch" => SWITCHES,
        "light" => LIGHT,
        "cover" => COVER,
        "valve" => VALVE,
        "lock" => LOCK,
        "climate" | "water_heater" => CLIMATE,
        "humidifier" => HUMIDIFIER,
        "fan" => FAN,
        "number" => NUMBER,
        "select" => SELECT,
        "button" => BUTTON,
        "scene" => SCENE,
        "siren" => SIREN,
        "text" => TEXT,
        "notify" => NOTIFY,
        "update" => UPDATE,
        "vacuum" => VACUUM,
        "lawn_mower" => LAWN_MOWER,
        "alarm_control_panel" => ALARM,
        "event" => EVENT,
        "device_tracker" => TRACKER,
        "media_player" => MEDIA_PLAYER,
        _ => OTHER,
    }
}

static SENSOR: &[Part] = &[part("", STATE, NONE, Takes::Any, Unit::Own)];
static SWITCHES: &[Part] = &[part("", STATE, COMMAND, SWITCH, Unit::None)];
static NUMBER: &[Part] = &[part(
    "",
    STATE,
    COMMAND,
    Takes::Number {
        min: ("min", Some(1.0)),
        max: ("max", Some(100.0)),
        step: ("step", Some(1.0)),
    },
    Unit::Own,
)];
static SELECT: &[Part] = &[part(
    "",
    STATE,
    COMMAND,
    Takes::Options {
        key: "options",
        default: &[],
    },
    Unit::None,
)];
static BUTTON: &[Part] = &[part(
    "",
    NONE,
    COMMAND,
    Takes::Press {
        key: "payload_press",
        default: "PRESS",
    },
    Unit::None,
)];
static SCENE: &[Part] = &[part(
    "",
    NONE,
    COMMAND,
    Takes::Press {
        key: "payload_on",
        default: "ON",
    },
    Unit::None,
)];
static TEXT: &[Part] = &[part("", STATE, COMMAND, Takes::Text, Unit::None)];
static NOTIFY: &[Part] = &[part("", NONE, COMMAND, Takes::Text, Unit::None)];
static EVENT: &[Part] = &[reads("", "state_topic", "value_template")];
static OTHER: &[Part] = &[part("", STATE, COMMAND, Takes::Any, Unit::Own)];

static COVER: &[Part] = &[
    part(
        "",
        STATE,
        ("command_topic", ""),
        Takes::Words {
            states: &[
                ("state_open", "open", "open", Some(1.0)),
                ("state_closed", "closed", "closed", Some(0.0)),
                ("state_opening", "opening", "opening", None),
                ("state_closing", "closing", "closing", None),
                ("state_stopped", "stopped", "stopped", None),
            ],
            commands: &[
                ("open", "payload_open", Some("OPEN"), Some(1.0)),
                ("close", "payload_close", Some("CLOSE"), Some(0.0)),
                ("stop", "payload_stop", Some("STOP"), None),
            ],
        },
        Unit::None,
    ),
    part(
        "position",
        ("position_topic", "position_template"),
        ("set_position_topic", "set_position_template"),
        Takes::Number {
            min: ("position_closed", Some(0.0)),
            max: ("position_open", Some(100.0)),
            step: ("", None),
        },
        Unit::Is("%"),
    ),
    part(
        "tilt",
        ("tilt_status_topic", "tilt_status_template"),
        ("tilt_command_topic", "tilt_command_template"),
        Takes::Number {
            min: ("tilt_min", Some(0.0)),
            max: ("tilt_max", Some(100.0)),
            step: ("", None),
        },
        Unit::Is("%"),
    ),
];

static VALVE: &[Part] = &[part(
    "",
    STATE,
    COMMAND,
    Takes::Words {
        states: &[
            ("state_open", "open", "open", Some(1.0)),
            ("state_closed", "closed", "closed", Some(0.0)),
            ("state_opening", "opening", "opening", None),
            ("state_closing", "closing", "closing", None),
        ],
        commands: &[
            ("open", "payload_open", Some("OPEN"), Some(1.0)),
            ("close", "payload_close", Some("CLOSE"), Some(0.0)),
            ("stop", "payload_stop", None, None),
        ],
    },
    Unit::None,
)];

/// A valve that reports its position: it is set by a number.
pub(super) static VALVE_POSITION: Part = part(
    "",
    STATE,
    COMMAND,
    Takes::Number {
        min: ("position_closed", Some(0.0)),
        max: ("position_open", Some(100.0)),
        step: ("", None),
    },
    Unit::Is("%"),
);

static LOCK: &[Part] = &[part(
    "",
    STATE,
    COMMAND,
    Takes::Words {
        states: &[
            ("state_locked", "LOCKED", "locked", Some(1.0)),
            ("state_unlocked", "UNLOCKED", "unlocked", Some(0.0)),
            ("state_locking", "LOCKING", "locking", None),
            ("state_unlocking", "UNLOCKING", "unlocking", None),
            ("state_jammed", "JAMMED", "jammed", None),
        ],
        commands: &[
            ("lock", "payload_lock", Some("LOCK"), Some(1.0)),
            ("unlock", "payload_unlock", Some("UNLOCK"), Some(0.0)),
            ("open", "payload_open", None, None),
        ],
    },
    Unit::None,
)];

static SIREN: &[Part] = &[part(
    "",
    ("state_topic", "state_value_template"),
    COMMAND,
    SWITCH,
    Unit::None,
)];

/// What a siren without a command template takes beside on and off, as keys of one JSON object.
pub(super) static SIREN_TONE: Part = part(
    "tone",
    NONE,
    NONE,
    Takes::Options {
        key: "available_tones",
        default: &[],
    },
    Unit::None,
);
/// Its loudness.
pub(super) static SIREN_VOLUME: Part = part(
    "volume_level",
    NONE,
    NONE,
    Takes::Number {
        min: ("", Some(0.0)),
        max: ("", Some(1.0)),
        step: ("", None),
    },
    Unit::None,
);

static UPDATE: &[Part] = &[
    reads("", "state_topic", "value_template"),
    reads(
        "latest_version",
        "latest_version_topic",
        "latest_version_template",
    ),
    press("install", "command_topic", "payload_install", "install"),
];

static VACUUM: &[Part] = &[
    part(
        "command",
        NONE,
        ("command_topic", ""),
        Takes::Words {
            states: &[],
            commands: &[
                ("start", "payload_start", Some("start"), None),
                ("stop", "payload_stop", Some("stop"), None),
                ("pause", "payload_pause", Some("pause"), None),
                (
                    "return_to_base",
                    "payload_return_to_base",
                    Some("return_to_base"),
                    None,
                ),
                ("clean_spot", "payload_clean_spot", Some("clean_spot"), None),
                ("locate", "payload_locate", Some("locate"), None),
            ],
        },
        Unit::None,
    ),
    part(
        "send_command",
        NONE,
        ("send_command_topic", ""),
        Takes::Text,
        Unit::None,
    ),
];

static LAWN_MOWER: &[Part] = &[
    reads("", "activity_state_topic", "activity_value_template"),
    press(
        "start_mowing",
        "start_mowing_command_topic",
        "",
        "start_mowing",
    ),
    press("pause", "pause_command_topic", "", "pause"),
    press("dock", "dock_command_topic", "", "dock"),
];

static ALARM: &[Part] = &[part(
    "",
    STATE,
    COMMAND,
    Takes::Words {
        states: &[],
        commands: &[
            ("disarm", "payload_disarm", Some("DISARM"), None),
            ("arm_home", "payload_arm_home", Some("ARM_HOME"), None),
            ("arm_away", "payload_arm_away", Some("ARM_AWAY"), None),
            ("arm_night", "payload_arm_night", Some("ARM_NIGHT"), None),
            (
                "arm_vacation",
                "payload_arm_vacation",
                Some("ARM_VACATION"),
                None,
            ),
            (
                "arm_custom_bypass",
                "payload_arm_custom_bypass",
                Some("ARM_CUSTOM_BYPASS"),
                None,
            ),
            ("trigger", "payload_trigger", Some("TRIGGER"), None),
        ],
    },
    Unit::None,
)];

static TRACKER: &[Part] = &[part(
    "",
    STATE,
    NONE,
    Takes::Words {
        states: &[
            ("payload_home", "home", "home", Some(1.0)),
            ("payload_not_home", "not_home", "not_home", Some(0.0)),
        ],
        commands: &[],
    },
    Unit::None,
)];

/// Fan speed of a vacuum, which is read from the JSON of its state.
pub(super) static VACUUM_FAN: Part = part(
    "fan_speed",
    NONE,
    NONE,
    Takes::Options {
        key: "fan_speed_list",
        default: &[],
    },
    Unit::None,
);
/// A part that is only read, by its place.
pub(super) static PLAIN: Part = part("state", NONE, NONE, Takes::Any, Unit::None);
/// Battery of a vacuum in percent.
pub(super) static BATTERY: Part = part("battery_level", NONE, NONE, PERCENT, Unit::Is("%"));
