//! How many templates are evaluated, and how many discovery messages are learnt, per second of one core.

use std::{hint::black_box, time::Instant};

use tarn_devices::{ConventionKind, Message, template::Template};

const ROUNDS: u32 = 200_000;
const CONFIGURATIONS: usize = 1_104;

fn main() {
    let payload = r#"{"temperature":21.46,"humidity":48.2,"battery":97,"linkquality":120,"voltage":3005,"state":"ON"}"#;
    let templates = [
        "{{ value_json.temperature | round(1) }}",
        "{{ (value_json.voltage * 0.001) | round(2) }}",
        "{{ value }}",
        "{% if value_json.state == 'ON' %}1{% else %}0{% endif %}",
    ];
    for source in templates {
        let template = Template::compile(source).expect("a template");
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(template.value(black_box(payload)).expect("a value"));
        }
        let per_second = f64::from(ROUNDS) / started.elapsed().as_secs_f64();
        println!("{per_second:>12.0}/s {source}");
    }
    let configuration = include_bytes!("../fixtures/home_assistant/zigbee2mqtt_light.json");
    let convention = ConventionKind::HomeAssistant.convention();
    let started = Instant::now();
    for device in 0..CONFIGURATIONS {
        let topic = format!("homeassistant/light/{device}/light/config");
        let message = Message {
            topic: &topic,
            payload: configuration,
        };
        black_box(convention.learn(&message).expect("an announcement"));
    }
    println!(
        "{CONFIGURATIONS} configurations learnt in {:?}",
        started.elapsed()
    );
}
