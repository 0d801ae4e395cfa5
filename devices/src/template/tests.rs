use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

/// What a template makes of a payload.
fn value(template: &str, payload: &str) -> Result<Option<String>, Fault> {
    Template::compile(template)?.value(payload)
}

fn check(template: &str, payload: &str, wanted: &str) {
    let made = value(template, payload);
    assert_eq!(made, Ok(Some(wanted.to_owned())), "{template} of {payload}");
}

fn check_nothing(template: &str, payload: &str) {
    assert_eq!(
        value(template, payload),
        Ok(None),
        "{template} of {payload}"
    );
}

fn check_fault(template: &str, payload: &str, words: &str) {
    let fault = value(template, payload).expect_err(template);
    assert!(fault.detail.contains(words), "{template}: {fault}");
}

#[test]
fn values_are_taken_from_json_and_text() {
    check("{{ value }}", " 21.4 ", "21.4");
    check("{{ value_json.a.b }}", r#"{"a":{"b":21.5}}"#, "21.5");
    check("{{ value_json['a'][0] }}", r#"{"a":[7]}"#, "7");
    check("{{ value_json }}", "21.4", "21.4");
    check("{{ value_json.on }}", r#"{"on":true}"#, "True");
    check("  {{ value | float * 2 }}\n", "3", "6.0");
    check("{{ value_json.get('t', 5) }}", "{}", "5");
    check(
        "{%- if value_json.on -%} ON {%- else -%} OFF {%- endif -%}",
        r#"{"on":false}"#,
        "OFF",
    );
    check("{{ 'ON' if value == '1' else 'OFF' }}", "1", "ON");
    check(
        "{{ value_json.x if value_json is defined else value }}",
        "plain",
        "plain",
    );
    check(
        "{% for k, v in value_json.items() %}{{ k }}={{ v }} {% endfor %}",
        r#"{"a":1,"b":2}"#,
        "a=1 b=2",
    );
    check("{{ {'a': 1} | to_json }}", "", r#"{"a":1}"#);
    check("{{ (value | from_json).a }}", r#"{"a":3}"#, "3");
}

#[test]
fn what_is_not_there_is_nothing_rather_than_a_fault() {
    check_nothing("{{ value_json.a }}", "{}");
    check_nothing("{{ value_json.a.b }}", "{}");
    check_nothing("{{ value_json.a | is_defined }}", "{}");
    check_nothing("{{ value_json.a | float }}", "{}");
    check_nothing("{% if value_json.a | is_defined %}1{% endif %}", "{}");
    check_nothing("{{ value_json.a }}", r#"{"a":null}"#);
    check_nothing("{{ none }}", "");
    check_nothing("{% if false %}1{% endif %}", "");
    check_fault("{{ value_json.a }}", "no json", "no");
}

#[test]
fn home_assistants_filters_work() {
    check("{{ value | float(0) }}", "x", "0");
    check("{{ value | float(default=1.5) }}", "x", "1.5");
    check("{{ value | int }}", "21.9", "21");
    check("{{ value | int(7) }}", "x", "7");
    check("{{ value | int(base=16) }}", "0xff", "255");
    check("{{ value | int(0, 16) }}", "ff", "255");
    check("{{ int(value) + 1 }}", "41", "42");
    check("{{ value | round(1) }}", "21.46", "21.5");
    check("{{ value | round }}", "21.5", "22");
    check("{{ value | float | round(2) }}", "2.675", "2.67");
    check("{{ value | round(1, 'floor') }}", "2.79", "2.7");
    check("{{ value | round(1, default=0) }}", "x", "0");
    check("{{ value | multiply(0.1) | round(2) }}", "215", "21.5");
    check("{{ value | multiply(2, 9) }}", "x", "9");
    check("{{ value | add(1) }}", "1", "2.0");
    check("{{ value | bool }}", "on", "True");
    check("{{ value | bool(false) }}", "maybe", "False");
    check("{{ iif(value == '1', 'yes', 'no') }}", "1", "yes");
    check("{{ (value == '1') | iif('yes', 'no') }}", "2", "no");
    check("{{ value | is_number }}", "1e3", "True");
    check("{{ value is is_number }}", "x", "False");
    check("{{ max(1, 3, 2) }} {{ min([4, 2]) }}", "", "3 2");
    check(
        "{{ [1, 2, 6] | average }} {{ median([1, 9, 2]) }}",
        "",
        "3.0 2.0",
    );
    check(
        "{{ 9 | sqrt }} {{ log(8, 2) | round(1) }} {{ sin(0) }}",
        "",
        "3.0 3.0 0.0",
    );
    check(
        "{{ 6 | bitwise_and(3) }} {{ 6 | bitwise_or(1) }}",
        "",
        "2 7",
    );
    check("{{ 'A' | ord }}", "", "65");
    check("{{ value | base64_decode }}", "aGk=", "hi");
    check("{{ '%.1f' | format(value | float) }}", "2.25", "2.2");
    check_fault("{{ value | float }}", "abc", "abc");
    check_fault("{{ value | round(1) }}", "abc", "no number");
}

#[test]
fn times_work_without_a_clock() {
    check(
        "{{ value | int | timestamp_utc }}",
        "0",
        "1970-01-01T00:00:00+00:00",
    );
    check(
        "{{ value | timestamp_local }}",
        "1600000000",
        "2020-09-13T12:26:40+00:00",
    );
    check(
        "{{ value | int | timestamp_custom('%Y-%m-%d', false) }}",
        "86400",
        "1970-01-02",
    );
    check(
        "{{ as_timestamp(value) | int }}",
        "2020-09-13T12:26:40Z",
        "1600000000",
    );
    check(
        "{{ as_timestamp(value) | int }}",
        "2020-09-13 12:26:40",
        "1600000000",
    );
    check(
        "{{ as_timestamp(strptime(value, '%d.%m.%Y %H:%M')) | int }}",
        "13.09.2020 12:26",
        "1599999960",
    );
    check(
        "{{ (value | as_datetime).isoformat() }}",
        "2020-09-13T12:26:40Z",
        "2020-09-13T12:26:40+00:00",
    );
    check(
        "{{ value | as_datetime }}",
        "0",
        "1970-01-01 00:00:00+00:00",
    );
    check("{{ as_datetime(value).year }}", "0", "1970");
    check("{{ value | as_timestamp(0) }}", "never", "0");
    check_fault("{{ value | as_datetime }}", "never", "no time");
}

#[test]
fn python_methods_work() {
    check("{{ value.split(',')[1] }}", "a,b", "b");
    check("{{ value.replace('W', '').strip() }}", "56 W", "56");
    check("{{ value.lower().startswith('on') }}", "ON", "True");
    check("{{ ','.join(value.split(' ')) }}", "a b", "a,b");
    check("{{ '{:.1f}'.format(2.34) }}", "", "2.3");
    check("{{ value_json.keys() | list | length }}", r#"{"a":1}"#, "1");
}

#[test]
fn what_only_home_assistant_knows_is_refused() {
    for template in [
        "{{ states('a.b') }}",
        "{{ now() }}",
        "{% if is_state('a', 'b') %}1{% endif %}",
    ] {
        let fault = Template::compile(template).expect_err(template);
        assert_eq!(fault.kind, FaultKind::Template);
        assert!(fault.detail.contains("only Home Assistant"), "{fault}");
    }
    check_fault("{{ value | no_such_filter }}", "1", "no_such_filter");
    for template in [
        "{{ value",
        "{% if %}",
        "{{ value_json. }}",
        "{% include 'x' %}",
    ] {
        assert!(Template::compile(template).is_err(), "{template}");
    }
}

#[test]
fn commands_are_made_of_values() {
    let command = |template: &str, value: serde_json::Value| {
        Template::compile(template).and_then(|template| template.command(&value))
    };
    let check = |template: &str, value, wanted: &str| {
        assert_eq!(
            command(template, value),
            Ok(wanted.to_owned()),
            "{template}"
        );
    };
    check("{{ value }}", json!(21.5), "21.5");
    check(r#"{"set": {{ value }}}"#, json!(3), r#"{"set": 3}"#);
    check("{{ value | int }}", json!(21.0), "21");
    check(
        "{% if value == 'ON' %}1{% else %}0{% endif %}",
        json!("ON"),
        "1",
    );
    check(
        "{{ red }},{{ value.green }}",
        json!({"red": 1, "green": 2}),
        "1,2",
    );
    check("{{ value | join(',') }}", json!([1, 2, 3]), "1,2,3");
    assert!(command("{{ value | float }}", json!("x")).is_err());
}

#[test]
fn simple_templates_name_a_place() {
    let path = |path: &str| Some(Place::Path(path.to_owned()));
    let cases = [
        ("{{ value }}", Some(Place::Value)),
        ("{{ value | float }}", Some(Place::Value)),
        ("{{value_json}}", Some(Place::Value)),
        ("{{ value_json.a.b }}", path("a.b")),
        ("{{ value_json['a']['b'] }}", path("a.b")),
        ("{{ value_json[\"a\"].b[0] }}", path("a.b.0")),
        ("{{- value_json.a | float(0) | default('') -}}", path("a")),
        ("{{ value_json.a | is_defined }}", path("a")),
        ("{{ value_json.get('a') }}", path("a")),
        ("{{ value_json.a | round(1) }}", None),
        ("{{ value_json.a * 2 }}", None),
        ("{{ value_json.a }} W", None),
        ("{{ value_json[value] }}", None),
        ("{{ value_json[-1] }}", None),
        ("{{ value.a }}", None),
        ("{{ value_json.a }}{{ value_json.b }}", None),
        ("{% set a = 1 %}{{ a }}", None),
        ("{{ value_json.a | int(0, 16) }}", None),
        ("value_json.a", None),
        ("", None),
    ];
    for (template, wanted) in cases {
        assert_eq!(simple_path(template), wanted, "{template}");
    }
}

/// Templates that would need endless time or memory without bounds.
const HOSTILE: [&str; 26] = [
    "{{ '%*d' | format(1000000000, 1) }}",
    "{{ '{0:{1}}'.format(1, 1000000000) }}",
    "{{ ('x' * 1000000).replace('', 'y' * 1000000) }}",
    "{{ ('a' * 1900000).split('a') | length }}",
    "{{ ('\\n' * 1900000).splitlines() | length }}",
    "{{ 'a' | indent(1000000000, true) }}",
    "{{ ['a'] | batch(1000000000, 'x') | list | length }}",
    "{% set s = 'a' * 1000000 %}{{ [s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s] ~ '' }}",
    "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}.{% endfor %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x | replace('a', 'aa') %}{% endfor %}{{ ns.x }}",
    "{{ 'a' * 1000000000 }}",
    "{{ ['a'] * 1000000000 }}",
    "{{ (['aaaaaaaaaaaaaaaa' * 1000] * 1000000) | join }}",
    "{{ ','.join(['aaaaaaaaaaaaaaaa' * 1000] * 1000000) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ (['aaaaaaaaaaaaaaaa' * 1000] * 100000) ~ '' }}",
    "{{ (['aaaaaaaaaaaaaaaa' * 1000] * 100000) | string | length }}",
    "{{ (['aaaaaaaaaaaaaaaa' * 1000] * 100000) | to_json | length }}",
    "{% set x = 'a' * 100000 %}{% for i in range(100000) %}{% set y = x.count('b') %}{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = ns.x * 7 ** 90 %}{% endfor %}",
];

#[test]
fn hostile_templates_end_soon() {
    for template in HOSTILE {
        let started = Instant::now();
        let made = value(template, "");
        assert!(made.is_err(), "{template} makes {made:?}");
        let took = started.elapsed();
        assert!(
            took < Duration::from_millis(250),
            "{template} took {took:?}"
        );
    }
}

/// Values that nest as deep as the fuel lets them are dropped and printed on the stack of a worker thread.
#[test]
fn deep_values_do_not_exhaust_the_stack() {
    let templates = [
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(4000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(4000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x | to_json }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(4000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x == ns.x }}",
    ];
    let run = move || {
        for template in templates {
            let _ = value(template, "");
        }
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Template::compile(&deep).is_err());
        let lists = format!("{{{{ {}{} }}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(Template::compile(&lists).is_err());
        let sum = format!("{{{{ 1{} }}}}", " + value".repeat(3_000));
        let _ = value(&sum, "1");
        let chain = format!("{{{{ value_json{} }}}}", ".a".repeat(15_000));
        let _ = value(&chain, "{}");
        let filters = format!("{{{{ value{} }}}}", "|int".repeat(8_000));
        let _ = value(&filters, "1");
        let ifs = format!(
            "{}1{}",
            "{% if 1 %}".repeat(1_000),
            "{% endif %}".repeat(1_000)
        );
        let _ = value(&ifs, "1");
    };
    let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    worker.spawn(run).expect("thread").join().expect("no panic");
}

/// Megabytes that the process has used at most.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .expect("peak");
    let kilobytes = line.split_whitespace().nth(1).expect("number");
    kilobytes.parse::<u64>().expect("number") / 1024
}

#[test]
#[ignore = "runs in a process of its own, for hostile_templates_stay_small"]
fn hostile_templates_alone() {
    for template in HOSTILE {
        println!("peak {} before {template}", peak_megabytes());
        let _ = value(template, "");
    }
    assert!(peak_megabytes() < 64, "{} MB", peak_megabytes());
}

#[test]
fn hostile_templates_stay_small() {
    let output = std::process::Command::new(std::env::current_exe().expect("test binary"))
        .args(["--exact", "template::tests::hostile_templates_alone"])
        .args(["--ignored", "--nocapture"])
        .output()
        .expect("child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn usual_arithmetic_is_no_list_that_grows() {
    let payload = r#"{"a":2,"b":3,"l":[1,2]}"#;
    check(
        "{{ value_json.a * 1000 + value_json.b * 1000 }}",
        payload,
        "5000",
    );
    check(
        "{{ value_json.a + value_json.b + value_json.a }}",
        payload,
        "7",
    );
    check(
        "{{ (value_json.a * 10) > (value_json.b * 10) }}",
        payload,
        "False",
    );
    check("{{ (value_json.a * 0.5) ~ ' W' }}", payload, "1.0 W");
    check("{{ value_json.a ~ ',' ~ value_json.b }}", payload, "2,3");
    check(
        "{{ [value_json.a, value_json.b] | join(',') }}",
        payload,
        "2,3",
    );
    check("{{ [value_json.a, value_json.b] | max }}", payload, "3");
    check("{{ value_json.l | sum }}", payload, "3");
    check(
        "{% set m = {'2': 'two'} %}{{ m[value_json.a | string] }}",
        payload,
        "two",
    );
    check(
        "{% set ns = namespace(n=0) %}{% for i in value_json.l %}{% set ns.n = ns.n + i | int %}{% endfor %}{{ ns.n }}",
        payload,
        "3",
    );
    check("{{ {'a': value_json.a} | to_json }}", payload, r#"{"a":2}"#);
}

#[test]
fn lengths_are_bounded() {
    let long = format!("{{{{ '{}' }}}}", "a".repeat(TEMPLATE_BYTES_MAX));
    assert!(Template::compile(&long).is_err());
    let payload = "1".repeat(PAYLOAD_BYTES_MAX + 1);
    let fault = value("{{ value }}", &payload).expect_err("too long");
    assert_eq!(fault.kind, FaultKind::TooLarge);
    let payload = "1".repeat(OUTPUT_BYTES_MAX + 1);
    check_fault("{{ value }}", &payload, "bytes");
    check_fault("{{ value }} {{ value }}", &payload, "bytes");
    let nested = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    check_fault("{{ value_json[0] }}", &nested, "JSON");
}

#[test]
fn one_payload_serves_many_templates() {
    let payload = Payload::new(r#"{"a":1,"b":"x"}"#);
    for (template, wanted) in [
        ("{{ value_json.a }}", r#"1"#),
        ("{{ value }}", r#"{"a":1,"b":"x"}"#),
        ("{{ value_json.b | upper }}", "X"),
    ] {
        let template = Template::compile(template).expect(template);
        assert_eq!(template.value_of(&payload), Ok(Some(wanted.to_owned())));
    }
    let payload = Payload::new("21.4 C");
    let template = Template::compile("{{ value_json.a }}").expect("compiles");
    assert!(template.value_of(&payload).is_err());
}
