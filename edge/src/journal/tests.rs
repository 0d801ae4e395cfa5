use std::{fs, path::PathBuf};

use tarn_common::clock::ManualClock;

use super::*;

fn open(dir: &Path) -> Journal {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let settings = JournalSettings {
        segment_bytes: 1 << 20,
        ..JournalSettings::default()
    };
    Journal::open(
        dir,
        JournalStart::after(EdgeId(7), Seq::ZERO),
        settings,
        clock,
        JournalMetrics::default(),
    )
    .expect("opens")
}

fn publish<'a>(packet_id: u16, payload: &'a [u8], dup: bool) -> Publish<'a> {
    Publish {
        client: "c",
        topic: "home/t",
        payload,
        qos: 1,
        packet_id,
        dup,
        retain: false,
        properties: &[],
    }
}

/// Append payloads `from..to`, wait until they are durable.
fn store(journal: &Journal, numbers: std::ops::Range<u32>) {
    let mut last = Seq::ZERO;
    for n in numbers {
        let payload = n.to_string();
        match journal
            .append(publish(n as u16, payload.as_bytes(), false))
            .expect("appends")
        {
            Appended::Stored(seq) | Appended::Duplicate(seq) => last = seq,
        }
    }
    journal.commit();
    wait(journal, last);
}

fn wait(journal: &Journal, seq: Seq) {
    let mut durable = journal.durable();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime
        .block_on(async { durable.wait_for(|d| *d >= seq).await.map(|d| *d) })
        .expect("durable");
}

fn payloads(journal: &Journal) -> Vec<String> {
    let segments = journal.segments();
    let mut found = Vec::new();
    for segment in segments.sealed.iter().chain([&segments.active]) {
        let bytes = segment::read(segment, 0).expect("reads");
        let scan = segment::Scan::new(&bytes, frame::SEGMENT_HEAD, Seq(segment.first.0 - 1));
        let publishes = scan.filter(|r| r.kind == Kind::Publish && r.seq <= segment.last);
        found.extend(publishes.map(|r| String::from_utf8_lossy(r.payload).into_owned()));
    }
    found
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn only_segment(dir: &Path) -> PathBuf {
    segment::list(dir)
        .expect("lists")
        .pop()
        .expect("one segment")
        .1
}

#[test]
fn what_was_durable_is_there_again() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    store(&journal, 0..100);
    drop(journal);
    let journal = open(dir.path());
    store(&journal, 100..200);
    assert_eq!(payloads(&journal), numbers(0..200));
}

#[test]
fn a_power_cut_at_every_byte_of_the_tail_keeps_all_whole_records() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    store(&journal, 0..20);
    let durable_bytes = journal.segments().active.bytes as usize;
    store(&journal, 20..23);
    let path = only_segment(dir.path());
    let whole =
        fs::read(&path).expect("reads")[..journal.segments().active.bytes as usize].to_vec();
    drop(journal);
    for end in durable_bytes..=whole.len() {
        for fill in [&[][..], &[0; 64][..], &[0xff; 64][..]] {
            let torn: Vec<u8> = whole[..end].iter().chain(fill).copied().collect();
            fs::write(&path, torn).expect("writes");
            let journal = open(dir.path());
            let found = payloads(&journal);
            assert!(
                found.len() >= 20 && found[..] == numbers(0..23)[..found.len()],
                "cut at {end}: {found:?}"
            );
            let next = found.len() as u32;
            store(&journal, next..next + 1);
            assert_eq!(
                payloads(&journal),
                numbers(0..next + 1),
                "appends after a cut at {end}"
            );
            drop(journal);
        }
    }
}

#[test]
fn damage_in_the_middle_costs_only_the_records_it_hits() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    store(&journal, 0..50);
    let end = journal.segments().active.bytes as usize;
    drop(journal);
    let whole = fs::read(only_segment(dir.path())).expect("reads")[..end].to_vec();
    for at in (frame::SEGMENT_HEAD..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let mut scan = segment::Scan::new(&damaged, frame::SEGMENT_HEAD, Seq::ZERO);
        let found = scan.by_ref().filter(|r| r.kind == Kind::Publish).count();
        let (_, last, damage) = scan.end();
        assert_eq!(found, 49, "flip at {at}");
        assert!(
            last == Seq(49) || damage.iter().map(|d| d.records).sum::<u64>() == 1,
            "flip at {at}"
        );
    }
}

#[test]
fn a_redelivery_is_told_and_an_equal_new_message_is_not_taken_for_one() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    store(&journal, 1..2);
    assert_eq!(
        journal.append(publish(1, b"1", true)),
        Ok(Appended::Duplicate(Seq(1)))
    );
    // Another payload, or a packet id that is sent as new, is a new message.
    assert_eq!(
        journal.append(publish(1, b"2", true)),
        Ok(Appended::Stored(Seq(2)))
    );
    assert_eq!(
        journal.append(publish(1, b"2", false)),
        Ok(Appended::Stored(Seq(3)))
    );
    // Once the client has its acknowledgement, even DUP with equal content is a new message.
    journal.confirm("c", Seq(3));
    assert_eq!(
        journal.append(publish(1, b"2", true)),
        Ok(Appended::Stored(Seq(5)))
    );
}

#[test]
fn redeliveries_are_told_after_a_restart_and_after_the_segment_was_cut_away() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    store(&journal, 1..3);
    journal.confirm("c", Seq(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    runtime.block_on(journal.roll());
    let sealed = journal.segments().sealed.pop_front().expect("sealed");
    journal.retire(&sealed, false).expect("retires");
    drop(journal);
    let journal = open(dir.path());
    assert_eq!(
        journal.append(publish(2, b"2", true)),
        Ok(Appended::Duplicate(Seq(2)))
    );
    assert!(
        matches!(
            journal.append(publish(1, b"1", true)),
            Ok(Appended::Stored(_))
        ),
        "it was confirmed"
    );
}

#[test]
fn qos_2_is_remembered_until_it_is_released() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    let message = Publish {
        qos: 2,
        ..publish(9, b"x", false)
    };
    assert_eq!(journal.append(message), Ok(Appended::Stored(Seq(1))));
    journal.confirm("c", Seq(1));
    let again = Publish {
        dup: true,
        ..message
    };
    assert_eq!(journal.append(again), Ok(Appended::Duplicate(Seq(1))));
    assert_eq!(journal.release("c", 9), Ok(Seq(2)));
    assert_eq!(journal.append(again), Ok(Appended::Stored(Seq(3))));
}

#[test]
fn a_full_budget_refuses_and_then_takes_again() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    journal.set_full(true);
    assert_eq!(journal.append(publish(1, b"1", false)), Err(Refused::Full));
    journal.set_full(false);
    store(&journal, 1..2);
    assert_eq!(payloads(&journal), ["1"]);
}

#[test]
fn segments_roll_by_size_and_hold_everything_once() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = open(dir.path());
    for round in 0..60 {
        store(&journal, round * 1000..(round + 1) * 1000);
    }
    assert!(
        journal.segments().sealed.len() >= 2,
        "{:?}",
        journal.segments()
    );
    assert_eq!(payloads(&journal), numbers(0..60_000));
}
