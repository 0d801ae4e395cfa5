use tarn_common::clock::SystemClock;
use tarn_link::{
    Answer, Envelope, LinkEvent, LinkEvents, Presence,
    message::{from_json, timestamp, to_json},
};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// Answers each message with its bytes turned round.
struct Mirror;

#[async_trait]
impl CloudSync for Mirror {
    async fn receive(&self, home: &HomeId, _: &str, body: &[u8]) -> Vec<Vec<u8>> {
        let mut turned = body.to_vec();
        turned.reverse();
        vec![turned, home.as_str().as_bytes().to_vec()]
    }

    async fn learn(&self, _: &HomeId, _: &str, _: &[u8]) {}
}

/// A replica with its own broker, and a box that a test plays.
struct Meeting {
    downlink: Downlink,
    out: mpsc::Sender<SyncOut>,
    home: HomeId,
    edge: EdgeId,
    link: Link,
    events: LinkEvents,
    stop: CancellationToken,
}

impl Meeting {
    async fn begin() -> Meeting {
        let mut registry = Registry::default();
        let (out, outbox) = mpsc::channel(8);
        let downlink = Downlink::start(
            MeetingSettings::Own(Box::new(OwnBroker::local())),
            Arc::new(Mirror),
            outbox,
            Arc::new(SystemClock),
            &mut registry,
        );
        let downlink = downlink.await.expect("starts");
        let (home, edge): (HomeId, _) = ("lake".parse().expect("a home"), EdgeId(7));
        let settings = LinkSettings {
            place: MeetingPlace::own(downlink.mqtt_addresses()[0].1, None),
            client_id: "box".to_owned(),
            will: None,
            subscriptions: topic::of_a_box(&home, edge),
        };
        let (link, mut events, task) =
            Link::new(settings, LinkMetrics::default()).expect("no TLS is needed");
        let stop = CancellationToken::new();
        tokio::spawn(task.run(stop.clone()));
        assert_eq!(next(&mut events).await, LinkEvent::Connected);
        wait("the replica is up", || downlink.is_up()).await;
        Meeting {
            downlink,
            out,
            home,
            edge,
            link,
            events,
            stop,
        }
    }

    async fn say(&self, channel: Channel, payload: Vec<u8>, delivery: Delivery) {
        let topic = Topic::new(&self.home, channel);
        let said = self.link.publish(&topic, payload, delivery).await;
        said.expect("the link is up");
    }

    async fn be(&self, online: bool) {
        let presence = Presence {
            online,
            since: timestamp(0),
            version: "1".to_owned(),
            name: None,
        };
        let channel = Channel::Presence(self.edge);
        self.say(channel, to_json(&presence), Delivery::RETAINED)
            .await;
        wait("the replica knows", || {
            self.downlink.boxes.is_online(&self.home, self.edge) == online
        })
        .await;
    }

    /// The next message on a topic other than those of presence.
    async fn hear(&mut self) -> (Channel, Vec<u8>) {
        loop {
            let LinkEvent::Message(message) = next(&mut self.events).await else {
                panic!("the link broke");
            };
            let topic: Topic = message.topic.parse().expect("a topic of ours");
            if !matches!(topic.channel, Channel::Presence(_)) {
                return (topic.channel, message.payload.to_vec());
            }
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.downlink.shutdown().await;
    }
}

async fn next(events: &mut LinkEvents) -> LinkEvent {
    let event = timeout(LIMIT, events.recv()).await.expect("in time");
    event.expect("the link goes on")
}

async fn wait(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test]
async fn a_question_is_answered_or_told_why_not() {
    let mut meeting = Meeting::begin().await;
    let (home, edge) = (meeting.home.clone(), meeting.edge);
    let ask = |edge, within| {
        meeting
            .downlink
            .ask(&home, edge, AskKind::Fresh, Duration::from_millis(within))
    };
    assert_eq!(ask(edge, 1000).await, Err(AskError::Away));
    meeting.be(true).await;
    assert_eq!(ask(EdgeId(8), 1000).await, Err(AskError::Away));
    // Nobody answers.
    assert_eq!(ask(edge, 50).await, Err(AskError::TimedOut));
    assert_eq!(meeting.downlink.asks.open_now(), 0);
    let (_, unanswered) = meeting.hear().await;
    let unanswered: Ask = from_json(&unanswered, 1024).expect("a question");

    let downlink = &meeting.downlink;
    let asking = downlink.ask(&home, edge, AskKind::Watch { seconds: 9 }, LIMIT);
    let answering = async {
        let LinkEvent::Message(message) = next(&mut meeting.events).await else {
            panic!("the link broke");
        };
        let ask: Ask = from_json(&message.payload, 1024).expect("a question");
        assert_eq!(ask.ask, AskKind::Watch { seconds: 9 });
        assert_eq!(ask.from, downlink.node());
        // One that comes too late, and one for another question, change nothing.
        for id in [unanswered.id, ask.id] {
            let answer = to_json(&Answer {
                id,
                edge,
                answer: AnswerKind::Watching,
            });
            let topic = Topic::new(&home, Channel::Answer(ask.from));
            let sent = meeting.link.publish(&topic, answer, Delivery::ACKED).await;
            sent.expect("the link is up");
        }
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer, Ok(AnswerKind::Watching));
    meeting.be(false).await;
    let away = meeting
        .downlink
        .ask(&home, edge, AskKind::Fresh, LIMIT)
        .await;
    assert_eq!(away, Err(AskError::Away));
    meeting.end().await;
}

#[tokio::test]
async fn twins_are_passed_on_unread() {
    let mut meeting = Meeting::begin().await;
    let (node, from) = (meeting.downlink.node(), NodeId::from(meeting.edge));
    for channel in [Channel::SyncAll, Channel::SyncTo(node)] {
        let said = Envelope { from, body: b"abc" };
        meeting.say(channel, said.encode(), Delivery::ACKED).await;
        for expected in [&b"cba"[..], b"lake"] {
            let (channel, payload) = meeting.hear().await;
            let answer = Envelope::decode(&payload).expect("reads");
            assert_eq!(channel, Channel::SyncTo(from));
            assert_eq!((answer.from, answer.body), (node, expected));
        }
    }
    // What cannot be read is left, and so is what the replica said itself.
    meeting
        .say(Channel::SyncAll, b"?".to_vec(), Delivery::ACKED)
        .await;
    for to in [SyncTo::All, SyncTo::Replicas, SyncTo::Node(from)] {
        let home = meeting.home.clone();
        let body = format!("{to:?}").into_bytes();
        let out = SyncOut { home, body, to };
        meeting.out.send(out).await.expect("it is taken");
    }
    for (expected, body) in [
        (Channel::SyncAll, "All".to_owned()),
        (Channel::SyncTo(from), format!("{:?}", SyncTo::Node(from))),
    ] {
        let (channel, payload) = meeting.hear().await;
        let envelope = Envelope::decode(&payload).expect("reads");
        assert_eq!(channel, expected);
        assert_eq!((envelope.from, envelope.body), (node, body.as_bytes()));
    }
    meeting.end().await;
}

#[tokio::test]
async fn who_looks_is_told_what_happens() {
    let meeting = Meeting::begin().await;
    let mut events = meeting.downlink.events();
    meeting.be(true).await;
    let live = to_json(&vec![Value::from(21.5)]);
    meeting
        .say(Channel::Live(meeting.edge), live, Delivery::UNACKED)
        .await;
    let event = timeout(LIMIT, events.recv()).await.expect("in time");
    let Ok(BoxEvent::Seen { home, seen }) = event else {
        panic!("{event:?}");
    };
    assert_eq!((&home, seen.edge), (&meeting.home, meeting.edge));
    assert_eq!(meeting.downlink.boxes(&home), [seen]);
    assert_eq!(meeting.downlink.homes(), [home]);
    let event = timeout(LIMIT, events.recv()).await.expect("in time");
    let Ok(BoxEvent::Live { events, .. }) = event else {
        panic!("{event:?}");
    };
    assert_eq!(*events, [Value::from(21.5)]);
    meeting.end().await;
}

/// Many large messages at once go through a link whose taker is slow, and none of them is lost.
#[tokio::test]
async fn a_slow_taker_holds_the_broker_back() {
    const MESSAGES: usize = 1000;
    let mut meeting = Meeting::begin().await;
    let from = NodeId::from(meeting.edge);
    let sending = async {
        for n in 0..MESSAGES {
            let body = vec![(n % 256) as u8; 4096];
            let (home, to) = (meeting.home.clone(), SyncTo::Node(from));
            let out = SyncOut { home, body, to };
            meeting.out.send(out).await.expect("it is taken");
        }
    };
    let taking = async {
        for n in 0..MESSAGES {
            if n % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let LinkEvent::Message(message) = next(&mut meeting.events).await else {
                panic!("the link broke");
            };
            let envelope = Envelope::decode(&message.payload).expect("reads");
            assert_eq!(envelope.body[0], (n % 256) as u8);
        }
    };
    tokio::join!(sending, taking);
    meeting.end().await;
}
