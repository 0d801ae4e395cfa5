use super::*;

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let good = set(3, 2);
    let told = |change: Change| good.changed(change).expect_err("refused").to_string();
    for weight in [0.0, -1.0, 1e308, f64::NAN, f64::INFINITY] {
        assert!(
            told(Change::Weigh(name(0), weight)).contains("0.001 to 1000000"),
            "{weight}"
        );
    }
    assert!(told(Change::Copies(4)).contains("add a store"));
    assert!(told(Change::Copies(0)).contains("1 to 8"));
    let add = |change: &dyn Fn(&mut Member)| {
        let mut new = member(9);
        change(&mut new);
        told(Change::Add(new))
    };
    assert!(add(&|m| m.name = name(1)).contains("another name"));
    assert!(add(&|m| m.url = "s3://bucket-1/".into()).contains("same place"));
    assert!(
        add(&|m| m.url = "s3://id:pass@bucket".into()).contains("TARN_STORE_S9_SECRET_ACCESS_KEY")
    );
    assert!(add(&|m| m.url = "s3://b?secret_access_key=x".into()).contains("secret_access_key"));
    assert!(told(Change::Remove(name(0), 5)).contains("drain it first"));
    assert!(told(Change::Drain("nowhere".parse().expect("name"))).contains("there are s0, s1, s2"));
    let one = set(1, 1);
    assert!(
        one.changed(Change::Remove(name(0), 0))
            .expect_err("last")
            .to_string()
            .contains("last one")
    );
    assert!(one.changed(Change::Drain(name(0))).is_err());
    assert!(StoreSet::parse(b"{}").is_err());
    assert_eq!(StoreSet::parse(&good.to_bytes()).expect("parses"), good);
    let twice = set(2, 2).changed(Change::Drain(name(0)));
    assert!(
        twice
            .expect_err("too few")
            .to_string()
            .contains("have fewer copies")
    );
}

#[test]
fn one_place_is_found_however_its_url_is_written() {
    let taken = |url: &str, other: &str| {
        let mut two = set(2, 1);
        two.members[0].url = url.into();
        two.members[1].url = other.into();
        two.validate()
    };
    for (url, other) in [
        ("s3://bucket/a", "s3://bucket/a/"),
        ("s3://bucket", "s3://Bucket//"),
        ("s3://bucket/a?weight=2", "s3://bucket/a?zone=attic&name=x"),
        ("file:///srv/a", "file:///srv/b/../a"),
        (
            "s3://b?endpoint=http://h:1&region=r",
            "s3://b?region=r&endpoint=http://h:1",
        ),
    ] {
        let same = SetError::SamePlace(name(0), name(1));
        assert_eq!(taken(url, other), Err(same), "{url} {other}");
    }
    for (url, other) in [
        ("s3://bucket/a", "s3://bucket/b"),
        ("s3://b?endpoint=http://h:1", "s3://b?endpoint=http://h:2"),
        ("file:///bucket", "s3:///bucket"),
    ] {
        assert_eq!(taken(url, other), Ok(()), "{url} {other}");
    }
}

#[test]
fn what_no_change_leads_to_is_refused_too() {
    let refused = |change: &dyn Fn(&mut StoreSet)| {
        let mut bad = set(3, 2);
        change(&mut bad);
        assert!(StoreSet::parse(&bad.to_bytes()).is_err(), "{bad:?}");
        bad.validate().expect_err("refused").to_string()
    };
    assert!(refused(&|s| s.members.clear()).contains("add one"));
    assert!(refused(&|s| s.members[2].name = name(0)).contains("another name"));
    assert!(refused(&|s| s.members[1].weight = -0.0).contains("drain it"));
    assert!(refused(&|s| s.members[1].zone = Some(String::new())).contains("leave it out"));
    assert!(refused(&|s| s.members[1].zone = Some("z".repeat(65))).contains("1 to 64"));
    assert!(refused(&|s| s.members[1].url = "nowhere".into()).contains("s3://bucket/prefix"));
    assert!(refused(&|s| s.epsilon = f64::NAN).contains("0.01 to 1"));
    assert!(refused(&|s| s.virtual_nodes = 0).contains("1 to 4096"));
    assert!(refused(&|s| s.version = VERSION_MAX + 1).contains("leave this store set out"));
    assert!(refused(&|s| s.members = (0..=MEMBERS_MAX).map(member).collect()).contains("256"));
    let last = StoreSet {
        version: u64::MAX,
        ..set(3, 2)
    };
    assert!(last.changed(Change::Copies(1)).is_err());
    let future = String::from_utf8(set(1, 1).to_bytes()).expect("text");
    let future = future.replace("\"v\":1", "\"v\":2");
    let told = StoreSet::parse(future.as_bytes()).expect_err("refused");
    assert!(told.to_string().contains("version 2"), "{told}");
}

#[test]
fn the_newest_set_holds_and_of_two_alike_everybody_takes_the_same() {
    let first = set(3, 2);
    let one = first.changed(Change::Drain(name(0))).expect("drains");
    let other = first.changed(Change::Copies(1)).expect("changes");
    assert_eq!((one.version, other.version), (2, 2));
    let held = StoreSet::newest([&first, &one, &other].into_iter());
    assert_eq!(held, StoreSet::newest([&other, &first, &one].into_iter()));
    assert!(held.is_some_and(|set| set.digest() == one.digest().max(other.digest())));
    let third = one.changed(Change::Restore(name(0))).expect("restores");
    assert_eq!(StoreSet::newest([&one, &third].into_iter()), Some(&third));
    assert_eq!(StoreSet::newest([].into_iter()), None);
}
