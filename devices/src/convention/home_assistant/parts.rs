//! Which options of a component make which points.

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

static LIGHT: &[Part] = &[
    part(
        "",
        ("state_topic", "state_value_template value_template"),
        ("command_topic", ""),
        SWITCH,
        Unit::None,
    ),
    part(
        "brightness",
        ("brightness_state_topic", "brightness_value_template"),
        ("brightness_command_topic", "brightness_command_template"),
        Takes::Number {
            min: ("", Some(0.0)),
            max: ("brightness_scale", Some(255.0)),
            step: ("", None),
        },
        Unit::None,
    ),
    part(
        "color_temp",
        ("color_temp_state_topic", "color_temp_value_template"),
        ("color_temp_command_topic", "color_temp_command_template"),
        Takes::Number {
            min: ("min_mireds min_kelvin", None),
            max: ("max_mireds max_kelvin", None),
            step: ("", None),
        },
        Unit::None,
    ),
    reads(
        "color_mode",
        "color_mode_state_topic",
        "color_mode_value_template",
    ),
    part(
        "rgb",
        ("rgb_state_topic", "rgb_value_template"),
        ("rgb_command_topic", "rgb_command_template"),
        Takes::Object(&["red", "green", "blue"]),
        Unit::None,
    ),
    part(
        "rgbw",
        ("rgbw_state_topic", "rgbw_value_template"),
        ("rgbw_command_topic", "rgbw_command_template"),
        Takes::Object(&["red", "green", "blue", "white"]),
        Unit::None,
    ),
    part(
        "rgbww",
        ("rgbww_state_topic", "rgbww_value_template"),
        ("rgbww_command_topic", "rgbww_command_template"),
        Takes::Object(&["red", "green", "blue", "cold_white", "warm_white"]),
        Unit::None,
    ),
    part(
        "hs",
        ("hs_state_topic", "hs_value_template"),
        ("hs_command_topic", "hs_command_template"),
        Takes::Object(&["hue", "sat"]),
        Unit::None,
    ),
    part(
        "xy",
        ("xy_state_topic", "xy_value_template"),
        ("xy_command_topic", "xy_command_template"),
        Takes::Object(&["x", "y"]),
        Unit::None,
    ),
    part(
        "white",
        NONE,
        ("white_command_topic", ""),
        Takes::Number {
            min: ("", Some(0.0)),
            max: ("white_scale", Some(255.0)),
            step: ("", None),
        },
        Unit::None,
    ),
    part(
        "effect",
        ("effect_state_topic", "effect_value_template"),
        ("effect_command_topic", "effect_command_template"),
        Takes::Options {
            key: "effect_list",
            default: &[],
        },
        Unit::None,
    ),
];

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

static CLIMATE: &[Part] = &[
    part(
        "current_temperature",
        (
            "current_temperature_topic",
            "current_temperature_template value_template",
        ),
        NONE,
        Takes::Any,
        Unit::Temperature,
    ),
    part(
        "current_humidity",
        (
            "current_humidity_topic",
            "current_humidity_template value_template",
        ),
        NONE,
        Takes::Any,
        Unit::Humidity,
    ),
    part(
        "temperature",
        (
            "temperature_state_topic",
            "temperature_state_template value_template",
        ),
        ("temperature_command_topic", "temperature_command_template"),
        TEMPERATURE,
        Unit::Temperature,
    ),
    part(
        "temperature_high",
        (
            "temperature_high_state_topic",
            "temperature_high_state_template value_template",
        ),
        (
            "temperature_high_command_topic",
            "temperature_high_command_template",
        ),
        TEMPERATURE,
        Unit::Temperature,
    ),
    part(
        "temperature_low",
        (
            "temperature_low_state_topic",
            "temperature_low_state_template value_template",
        ),
        (
            "temperature_low_command_topic",
            "temperature_low_command_template",
        ),
        TEMPERATURE,
        Unit::Temperature,
    ),
    part(
        "humidity",
        (
            "target_humidity_state_topic",
            "target_humidity_state_template value_template",
        ),
        (
            "target_humidity_command_topic",
            "target_humidity_command_template",
        ),
        HUMIDITY,
        Unit::Humidity,
    ),
    part(
        "mode",
        ("mode_state_topic", "mode_state_template value_template"),
        ("mode_command_topic", "mode_command_template"),
        Takes::Options {
            key: "modes",
            default: &["auto", "off", "cool", "heat", "dry", "fan_only"],
        },
        Unit::None,
    ),
    part(
        "fan_mode",
        (
            "fan_mode_state_topic",
            "fan_mode_state_template value_template",
        ),
        ("fan_mode_command_topic", "fan_mode_command_template"),
        Takes::Options {
            key: "fan_modes",
            default: &["auto", "low", "medium", "high"],
        },
        Unit::None,
    ),
    part(
        "swing_mode",
        (
            "swing_mode_state_topic",
            "swing_mode_state_template value_template",
        ),
        ("swing_mode_command_topic", "swing_mode_command_template"),
        Takes::Options {
            key: "swing_modes",
            default: &["on", "off"],
        },
        Unit::None,
    ),
    part(
        "swing_horizontal_mode",
        (
            "swing_horizontal_mode_state_topic",
            "swing_horizontal_mode_state_template value_template",
        ),
        (
            "swing_horizontal_mode_command_topic",
            "swing_horizontal_mode_command_template",
        ),
        Takes::Options {
            key: "swing_horizontal_modes",
            default: &["on", "off"],
        },
        Unit::None,
    ),
    part(
        "preset_mode",
        (
            "preset_mode_state_topic",
            "preset_mode_value_template value_template",
        ),
        ("preset_mode_command_topic", "preset_mode_command_template"),
        Takes::Options {
            key: "preset_modes",
            default: &[],
        },
        Unit::None,
    ),
    part(
        "power",
        ("power_state_topic", "power_state_template"),
        ("power_command_topic", "power_command_template"),
        SWITCH,
        Unit::None,
    ),
    reads("action", "action_topic", "action_template"),
];

static HUMIDIFIER: &[Part] = &[
    part(
        "",
        ("state_topic", "state_value_template value_template"),
        COMMAND,
        SWITCH,
        Unit::None,
    ),
    part(
        "humidity",
        (
            "target_humidity_state_topic",
            "target_humidity_state_template",
        ),
        (
            "target_humidity_command_topic",
            "target_humidity_command_template",
        ),
        HUMIDITY,
        Unit::Humidity,
    ),
    part(
        "current_humidity",
        ("current_humidity_topic", "current_humidity_template"),
        NONE,
        Takes::Any,
        Unit::Humidity,
    ),
    part(
        "mode",
        ("mode_state_topic", "mode_state_template"),
        ("mode_command_topic", "mode_command_template"),
        Takes::Options {
            key: "modes",
            default: &[],
        },
        Unit::None,
    ),
    reads("action", "action_topic", "action_template"),
];

static FAN: &[Part] = &[
    part(
        "",
        ("state_topic", "state_value_template value_template"),
        COMMAND,
        SWITCH,
        Unit::None,
    ),
    part(
        "percentage",
        ("percentage_state_topic", "percentage_value_template"),
        ("percentage_command_topic", "percentage_command_template"),
        Takes::Number {
            min: ("", Some(0.0)),
            max: ("speed_range_max", Some(100.0)),
            step: ("", None),
        },
        Unit::None,
    ),
    part(
        "preset_mode",
        ("preset_mode_state_topic", "preset_mode_value_template"),
        ("preset_mode_command_topic", "preset_mode_command_template"),
        Takes::Options {
            key: "preset_modes",
            default: &[],
        },
        Unit::None,
    ),
    part(
        "oscillation",
        ("oscillation_state_topic", "oscillation_value_template"),
        ("oscillation_command_topic", "oscillation_command_template"),
        Takes::Switch {
            on: ("payload_oscillation_on", "oscillate_on"),
            off: ("payload_oscillation_off", "oscillate_off"),
            is_on: ("", ""),
            is_off: ("", ""),
        },
        Unit::None,
    ),
    part(
        "direction",
        ("direction_state_topic", "direction_value_template"),
        ("direction_command_topic", "direction_command_template"),
        Takes::Words {
            states: &[],
            commands: &[
                (
                    "forward",
                    "payload_direction_forward",
                    Some("forward"),
                    None,
                ),
                (
                    "reverse",
                    "payload_direction_reverse",
                    Some("reverse"),
                    None,
                ),
            ],
        },
        Unit::None,
    ),
];

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

static MEDIA_PLAYER: &[Part] = &[
    reads("", "state_state_topic", ""),
    reads("title", "state_title_topic", ""),
    reads("artist", "state_artist_topic", ""),
    reads("album", "state_album_topic", ""),
    reads("duration", "state_duration_topic", ""),
    reads("position", "state_position_topic", ""),
    reads("mediatype", "state_mediatype_topic", ""),
    part(
        "volume",
        ("state_volume_topic", ""),
        ("command_volume_topic", ""),
        Takes::Number {
            min: ("", Some(0.0)),
            max: ("", Some(1.0)),
            step: ("", None),
        },
        Unit::None,
    ),
    part(
        "mute",
        ("state_mute_topic", ""),
        ("command_mute_topic", ""),
        Takes::Switch {
            on: ("", "mute"),
            off: ("", "unmute"),
            is_on: ("", ""),
            is_off: ("", ""),
        },
        Unit::None,
    ),
    press("play", "command_play_topic", "command_play_payload", "Play"),
    press(
        "pause",
        "command_pause_topic",
        "command_pause_payload",
        "Pause",
    ),
    press(
        "playpause",
        "command_playpause_topic",
        "command_playpause_payload",
        "PlayPause",
    ),
    press("next", "command_next_topic", "command_next_payload", "Next"),
    press(
        "previous",
        "command_previous_topic",
        "command_previous_payload",
        "Previous",
    ),
    part(
        "playmedia",
        NONE,
        ("command_playmedia_topic", ""),
        Takes::Text,
        Unit::None,
    ),
];

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
