//! What travels to a gateway.

use herald_backplane::{GatewayEvent, Since};
use herald_core::Notice;

use crate::support::{Fixture, SendMany, numbered, places, sent, session, stored_size, user};

/// Twice, since a channel that recovers only once would pass otherwise.
pub(crate) async fn who_falls_behind_is_told_to_doubt(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.channel_capacity = 8);
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..2 {
        all.extend(notifier.send(&alice, 300, 0).await);
        let mut heard = 0;
        // Without a doubt this waits in vain for the notices that were dropped.
        while let Some(GatewayEvent::Notice(_)) = gateway.events.next().await {
            heard += 1;
            assert!(heard < 300, "300 notices went through a channel of 8 that nobody read");
        }
        // Hints may still be on their way and push out what is sent now: that is
        // followed by a doubt too, until at last one gets through.
        let mut last = notifier.send(&alice, 1, 0).await[0];
        all.push(last);
        loop {
            match gateway.events.next().await {
                Some(GatewayEvent::Notice(announced)) if announced.place == last => break,
                Some(GatewayEvent::Notice(_)) => {}
                Some(GatewayEvent::Doubt) => {
                    last = notifier.send(&alice, 1, 0).await[0];
                    all.push(last);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let mut read = Vec::new();
    let mut since = Since::Start;
    loop {
        let page = gateway.port.read(&alice, since).await.unwrap();
        read.extend(places(&page));
        if !page.more() {
            break;
        }
        since = Since::After(page.cursor());
    }
    assert_eq!(read, all, "the inbox lost nothing");
}

pub(crate) async fn what_is_too_large_for_a_channel_is_announced_and_read(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.inline_bytes = 256);
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let start = gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let largest = (30..300).rfind(|bytes| stored_size(&numbered(0, *bytes)) <= 256).unwrap();
    let notices = [numbered(0, largest), numbered(1, largest + 1), numbered(2, 60_000)];
    for (notice, travels) in notices.iter().zip([true, false, false]) {
        let dispatched = notifier.dispatch(&alice, notice).await.unwrap();
        let announced = gateway.events.notice().await;
        assert_eq!((&announced.user, announced.place), (&alice, dispatched.place));
        assert_eq!(announced.notice.as_ref(), travels.then_some(notice));
    }
    let page = gateway.port.read(&alice, Since::After(start.cursor())).await.unwrap();
    let kept: Vec<&Notice> = page.notices.iter().map(|kept| &kept.notice).collect();
    assert_eq!(kept, notices.iter().collect::<Vec<_>>());
}

pub(crate) async fn payload_bytes_and_trace_context_survive(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let nested = format!("{}{}", "[".repeat(128), "]".repeat(128));
    let payloads = [
        "null",
        "{}",
        "[]",
        "\"\"",
        "-0",
        "1e400",
        "12345678901234567890123",
        "0.1000000000000000055511151231257827",
        r#"{ "a" : 1,  "a":2 ,	"b":[ ]}"#,
        r#""\u0000\ud83d\ude00 é \/ \" 🦀 {0}%s""#,
        "{\n\r\t}",
        &nested,
    ];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut all = Vec::new();
    for (number, payload) in payloads.into_iter().enumerate() {
        let mut notice = sent(payload);
        notice.traceparent = (number % 2 == 0).then(|| trace.to_owned());
        notifier.dispatch(&alice, &notice).await.unwrap();
        let announced = gateway.events.notice().await.notice.unwrap();
        assert_eq!(announced.payload.bytes(), payload);
        assert_eq!(announced, notice);
        all.push(notice);
    }
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert!(page.notices.iter().all(|kept| kept.expires_at_ms == 0));
    let kept: Vec<Notice> = page.notices.into_iter().map(|kept| kept.notice).collect();
    assert_eq!(kept, all);
}
