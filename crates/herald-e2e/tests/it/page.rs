//! The page of `herald dev`, used as a person uses it.

use std::{
    env,
    time::{Duration, Instant},
};

use herald_e2e::{Browser, Dev, Sandbox, eventually};
use rustix::process::Signal;
use serde::Deserialize;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the page shows of a device.
#[derive(Debug, Deserialize)]
struct Device {
    user: String,
    state: String,
    toggle: String,
    /// The newest first.
    log: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    meta: String,
    payload: Option<String>,
}

impl Device {
    fn payloads(&self) -> Vec<&str> {
        self.log.iter().filter_map(|line| line.payload.as_deref()).collect()
    }

    fn of(&self, payload: &str) -> Option<&str> {
        let line = self.log.iter().find(|line| line.payload.as_deref() == Some(payload))?;
        Some(&line.meta)
    }
}

async fn devices(browser: &mut Browser) -> anyhow::Result<Vec<Device>> {
    let code = "[...document.querySelectorAll('.device')].map((device) => {
        const text = (part) => device.querySelector(part).textContent
        const log = [...device.querySelectorAll('li')].map((line) => ({
            meta: line.querySelector('.meta').textContent,
            payload: line.querySelector('.payload')?.textContent ?? null
        }))
        return { user: text('.user'), state: text('.state'), toggle: text('.toggle'), log }
    })";
    Ok(serde_json::from_value(browser.evaluate(code).await?)?)
}

/// Waits until the devices are as wanted.
#[track_caller]
fn shows(
    browser: &mut Browser,
    what: &str,
    wanted: impl Fn(&[Device]) -> bool,
) -> impl Future<Output = Vec<Device>> {
    eventually(what, PATIENCE, async move || {
        let devices = devices(browser).await.map_err(|error| format!("{error:#}"))?;
        if wanted(&devices) { Ok(devices) } else { Err(format!("{devices:#?}")) }
    })
}

/// Waits until the answer to the last send contains this, and whether it is shown as an error.
async fn answers(browser: &mut Browser, part: &str) -> bool {
    eventually(&format!("the answer contains {part:?}"), PATIENCE, async || {
        let code = "[document.querySelector('#answer').textContent,
            document.querySelector('#answer').classList.contains('bad')]";
        let answer = browser.evaluate(code).await.map_err(|error| format!("{error:#}"))?;
        let text = answer[0].as_str().unwrap_or_default();
        if text.contains(part) { Ok(answer[1] == true) } else { Err(text.to_owned()) }
    })
    .await
}

async fn send(browser: &mut Browser, user: &str, event: &str, payload: &str) {
    browser.fill("#send [name=user]", user).await.unwrap();
    browser.fill("#send [name=event]", event).await.unwrap();
    browser.fill("#send [name=payload]", payload).await.unwrap();
    browser.click("#send button").await.unwrap();
}

#[tokio::test]
async fn the_page_connects_sends_shows_what_arrives_and_lets_the_process_end() {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let mut dev = Dev::start(&sandbox).await.unwrap();
    let url = format!("http://{}/", dev.addresses().page);
    let mut browser = Browser::open(&mut sandbox, &url).await.unwrap();

    // Three devices from the start.
    let found = shows(&mut browser, "all devices are online", |devices| {
        devices.len() == 3 && devices.iter().all(|device| device.state == "online")
    })
    .await;
    let users: Vec<_> = found.iter().map(|device| device.user.as_str()).collect();
    assert_eq!(users, ["alice", "alice", "bob"]);

    // One notice, on both of alice's devices, with the time that it took.
    const FIRST: &str = r#"{"text":"From the page ✓","n":1}"#;
    send(&mut browser, "alice", "notice", FIRST).await;
    let bad = answers(&mut browser, "2 sessions").await;
    assert!(!bad);
    let found = shows(&mut browser, "alice has it twice", |devices| {
        devices[0].of(FIRST).is_some() && devices[1].of(FIRST).is_some()
    })
    .await;
    for device in &found[..2] {
        assert_eq!(device.payloads(), [FIRST]);
        let meta = device.of(FIRST).unwrap();
        assert!(meta.contains("notice") && meta.contains(" ms "), "no latency: {meta}");
    }
    assert!(found[2].payloads().is_empty(), "bob has it: {found:?}");

    // One that is away gets it when it is back, marked.
    const SECOND: &str = r#"{"text":"While one was away"}"#;
    browser.click(".device:nth-child(2) .toggle").await.unwrap();
    shows(&mut browser, "one is offline", |devices| {
        devices[1].state == "offline" && devices[1].toggle == "Go online"
    })
    .await;
    send(&mut browser, "alice", "order.shipped", SECOND).await;
    shows(&mut browser, "the other one has it", |devices| devices[0].of(SECOND).is_some()).await;
    let found = devices(&mut browser).await.unwrap();
    assert_eq!(found[1].payloads(), [FIRST], "it is offline");
    browser.click(".device:nth-child(2) .toggle").await.unwrap();
    let found =
        shows(&mut browser, "the returning one has it", |devices| devices[1].of(SECOND).is_some())
            .await;
    assert_eq!(found[1].payloads(), [SECOND, FIRST]);
    assert_eq!((&*found[1].state, &*found[1].toggle), ("online", "Go offline"));
    let [returned, other] = [1, 0].map(|number| found[number].of(SECOND).unwrap());
    assert!(returned.contains("order.shipped") && returned.contains("replayed"), "{returned}");
    assert!(!other.contains("replayed"), "{other}");

    // What is wrong is named with its field, and sends nothing.
    for (event, payload, parts) in [
        ("notice", r#"{"text": "#, ["payload", "JSON"]),
        // It would be JSON as a part of the body.
        ("notice", r#"1, "userId": "bob""#, ["payload", "JSON"]),
        ("herald:ready", "1", ["event", "herald:"]),
    ] {
        send(&mut browser, "alice", event, payload).await;
        for part in parts {
            assert!(answers(&mut browser, part).await, "not shown as an error: {event} {payload}");
        }
    }
    send(&mut browser, "nobody", "notice", "null").await;
    assert!(!answers(&mut browser, "OFFLINE").await);
    let found = devices(&mut browser).await.unwrap();
    assert_eq!(found.iter().map(|device| device.payloads().len()).sum::<usize>(), 4, "{found:?}");

    if let Some(path) = env::var_os("HERALD_E2E_SCREENSHOT") {
        browser.screenshot(path.as_ref()).await.unwrap();
    }

    // Sockets that are open do not keep it from ending.
    let begin = Instant::now();
    dev.process().signal(Signal::INT).unwrap();
    let status = dev.process().wait(PATIENCE).await.unwrap();
    assert!(status.success(), "it ended with {status}");
    assert!(begin.elapsed() < Duration::from_secs(2), "it took {:?}", begin.elapsed());
    shows(&mut browser, "the page says so", |devices| {
        devices.iter().all(|device| device.state != "online")
    })
    .await;
}
