use super::{COMMAND, HUMIDITY, NONE, Part, SWITCH, TEMPERATURE, Takes, Unit, part, press, reads};

pub(super) static LIGHT: &[Part] = &[
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

pub(super) static CLIMATE: &[Part] = &[
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

pub(super) static HUMIDIFIER: &[Part] = &[
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

pub(super) static FAN: &[Part] = &[
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

pub(super) static MEDIA_PLAYER: &[Part] = &[
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
