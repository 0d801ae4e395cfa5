use tarn_common::ids::HomeId;

/// What a client asks of the home by MQTT, as Home Assistant's buttons do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Start a scene: `tarn/<home>/scene/<id>/start`.
    Scene(String),
    /// Go into a mode: `tarn/<home>/mode/set`, the mode as payload.
    Mode(String),
    /// Acknowledge an alarm: `tarn/<home>/alarm/<id>/acknowledge`.
    Acknowledge(String),
}

impl Asked {
    /// What a publish asks; none where it asks nothing.
    pub(super) fn of(home: &HomeId, topic: &str, payload: &[u8]) -> Option<Asked> {
        let rest = topic.strip_prefix("tarn/")?.strip_prefix(home.as_str())?;
        let rest = rest.strip_prefix('/')?;
        if rest == "mode/set" {
            let mode = std::str::from_utf8(payload).ok()?.trim();
            let is_name = !mode.is_empty() && mode.len() <= MODE_MAX;
            return is_name.then(|| Asked::Mode(mode.to_owned()));
        }
        if let Some(scene) = rest.strip_prefix("scene/") {
            return scene
                .strip_suffix("/start")
                .map(|id| Asked::Scene(id.into()));
        }
        let alarm = rest.strip_prefix("alarm/")?.strip_suffix("/acknowledge")?;
        Some(Asked::Acknowledge(alarm.into()))
    }
}

/// Bytes of the name of a mode.
const MODE_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_by_mqtt_is_understood() {
        let home: HomeId = "lake".parse().expect("a home");
        let of = |topic: &str, payload: &[u8]| Asked::of(&home, topic, payload);
        assert_eq!(
            of("tarn/lake/scene/film/start", b"ON"),
            Some(Asked::Scene("film".into()))
        );
        assert_eq!(
            of("tarn/lake/mode/set", b" night "),
            Some(Asked::Mode("night".into()))
        );
        assert_eq!(
            of("tarn/lake/alarm/device/a/offline/acknowledge", b""),
            Some(Asked::Acknowledge("device/a/offline".into()))
        );
        for topic in [
            "tarn/lake/mode",
            "tarn/hill/mode/set",
            "tarn/lakes/mode/set",
            "home/lamp",
        ] {
            assert_eq!(of(topic, b"night"), None, "{topic}");
        }
        assert_eq!(of("tarn/lake/mode/set", b"\xff"), None);
        assert_eq!(of("tarn/lake/mode/set", b""), None);
    }
}
