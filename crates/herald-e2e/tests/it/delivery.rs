//! One to one, across gateways: each notice once at every session of its user, in order, with its
//! bytes, and no word of it to a gateway that has none of them.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use herald_e2e::{Nginx, Sandbox, Upstream, eventually};
use herald_loadgen::{
    Checker, Outgoing, Session, SessionOptions, TokenIn, Transport, checker::Start,
};
use herald_proto::wire::ChannelMessage;
use prost::Message as _;
use rand::RngExt as _;
use tokio::task::JoinSet;

use crate::probe::figure;
use crate::support::{PATIENCE, all_arrives, follow, networks, presence, send, tally};

const USERS: usize = 300;
const NOTICES: usize = 3_000;
const SENDERS: usize = 12;

/// JSON that does not survive being read and written again by just any program.
const AWKWARD: [&str; 12] = [
    "{}",
    "null",
    "0",
    "\"\"",
    "[]",
    r#"{"big":9007199254740993,"small":-9223372036854775809,"long":123456789012345678901234567890}"#,
    r#"{"one":1.0,"exponent":1e3,"negative":-0,"precise":0.1000000000000000055511151231257827}"#,
    r#"{"text":"Grüße, 世界 🦀 \u00fc \ud83e\udd80 \/ \" \\ \n","":"no name"}"#,
    r#"{"b":1,"a":2,"b":3}"#,
    "{ \"spaced\" :\t[ 1 ,\n 2 ] }",
    r#"[[[[[[[[[[[[[[[[{"deep":[{"er":{}}]}]]]]]]]]]]]]]]]]"#,
    "{\"separator\":\"\u{1e}\u{2028}\u{7f}\"}",
];

fn payload(number: usize) -> String {
    match number % 4 {
        0 => AWKWARD[number / 4 % AWKWARD.len()].replace('\u{1e}', "\\u001e"),
        // Larger than what travels on a channel.
        1 if number % 40 == 1 => {
            format!(r#"{{"number":{number},"fill":"{}"}}"#, "x".repeat(20_000))
        }
        _ => format!(r#"{{"number":{number}}}"#),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_notices_each_arrive_once_in_order_at_their_users_sessions_only() {
    let sandbox =
        Sandbox::builder().gateways(2).notifier().nginx(Upstream::IpHash).start().await.unwrap();
    let nginx = sandbox.nginx();
    let checker = Checker::new();

    // Which gateway nginx gives to whom is seen from outside, not asked of the registry.
    let addresses = networks(40);
    let homes = homes(nginx, &addresses).await;
    let mut followers = Vec::new();
    let mut owners: HashMap<String, HashSet<SocketAddr>> = HashMap::new();
    let mut connecting = JoinSet::new();
    for user in 0..USERS {
        let user = format!("user-{user}");
        for device in 0..rand::rng().random_range(1..=3) {
            let address = addresses[rand::rng().random_range(0..addresses.len())];
            owners.entry(user.clone()).or_default().insert(homes[&address]);
            let transport = match rand::rng().random_range(0..10) {
                0..4 => Transport::Polling,
                4..6 => Transport::Upgrade,
                _ => Transport::WebSocket,
            };
            let options = nginx
                .session(&user)
                .transport(transport)
                .source_ip(address)
                .device(format!("device-{device}"));
            let checker = checker.clone();
            connecting.spawn(async move { follow(&checker, options, Start::Now).await });
        }
    }
    while let Some(follower) = connecting.join_next().await {
        followers.push(follower.unwrap());
    }

    let users: Vec<_> = owners.keys().cloned().collect();
    let registered = presence(sandbox.notifier(), &users).await;
    let sessions: Vec<_> = registered.iter().flat_map(|user| &user.sessions).collect();
    assert_eq!(sessions.len(), followers.len());
    let shares = tally(sessions.iter().map(|session| session.gateway.as_str()));
    for gateway in &sandbox.gateways {
        let share = shares[gateway.name()];
        assert!(share * 10 >= sessions.len() * 3, "{shares:?}: less than 30 % on one gateway");
        let said = figure(gateway, "herald_gateway_sessions", "").await.unwrap();
        assert_eq!(said as usize, share, "/metrics says something else than presence");
    }

    let monitor = sandbox.redis.monitor().await.unwrap();
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let (grpc, http) = (sandbox.notifier().grpc(), sandbox.notifier().http());
        let checker = checker.clone();
        // One sender a user, so that the order of acceptance is known.
        let users: Vec<_> = users.iter().skip(number).step_by(SENDERS).cloned().collect();
        senders.spawn(async move {
            let mut sent = Vec::new();
            for notice in (number..NOTICES).step_by(SENDERS) {
                let user = &users[rand::rng().random_range(0..users.len())];
                let sender = if rand::random() { &grpc } else { &http };
                send(sender, &checker, &Outgoing::new(user, payload(notice))).await;
                sent.push(user.clone());
            }
            sent
        });
    }
    let mut sent = Vec::new();
    while let Some(sender) = senders.join_next().await {
        sent.extend(sender.unwrap());
    }
    all_arrives(&checker, PATIENCE).await;

    let published = monitor.published().await.unwrap();
    let gateways = gateway_ids(&sandbox).await;
    // What gateways and notifiers send themselves, to hear whether they hear, is nobody's notice.
    let notices = published.iter().filter(|sent| !sent.message.starts_with(b"herald-canary "));
    let told = notices.flat_map(|publication| {
        let (_, id) = publication.channel.rsplit_once(':').unwrap();
        let gateway = gateways[id];
        users_told(&publication.message).into_iter().map(move |user| (user, gateway))
    });
    // Each notice once to each gateway that has a session of its user, and nothing else.
    let expected = sent.into_iter().flat_map(|user| {
        let owners = owners[&user].clone();
        owners.into_iter().map(move |owner| (user.clone(), owner))
    });
    assert_eq!(tally(told), tally(expected));
    assert!(owners.values().any(|owners| owners.len() == 1), "every user is on both gateways");
    assert_eq!(checker.report().accepted, NOTICES);
    assert!(followers.iter().all(|follower| !follower.has_ended()), "a session has ended");
}

/// Whose notices a message on a channel announces.
fn users_told(message: &[u8]) -> Vec<String> {
    let message = ChannelMessage::decode(message).unwrap();
    if message.bundle.is_empty() {
        return vec![message.user_id];
    }
    message.bundle.iter().flat_map(|message| users_told(message)).collect()
}

/// Which gateway nginx gives to which address, by its own log.
async fn homes(nginx: &Nginx, addresses: &[IpAddr]) -> HashMap<IpAddr, SocketAddr> {
    for address in addresses {
        let options = nginx.session("nobody").transport(Transport::Polling).source_ip(*address);
        Session::connect(options).await.unwrap().close().await;
    }
    eventually("nginx' log names all addresses", PATIENCE, async || {
        let log = nginx.access_log();
        let homes: HashMap<IpAddr, SocketAddr> = log
            .lines()
            .filter_map(|line| {
                let client = line.split_once(' ')?.0.parse().ok()?;
                let upstream = line.split_once("upstream=")?.1.split(' ').next()?;
                Some((client, upstream.parse().ok()?))
            })
            .collect();
        if addresses.iter().all(|address| homes.contains_key(address)) {
            Ok(homes)
        } else {
            Err(log)
        }
    })
    .await
}

/// The gateways by the ids that their channels are named after.
async fn gateway_ids(sandbox: &Sandbox) -> HashMap<String, SocketAddr> {
    let key = format!("{}:v1:leases", sandbox.key_prefix());
    let leases = sandbox.redis.cli(&["hgetall", &key]).await.unwrap();
    let leases: Vec<_> = leases.lines().collect();
    let by_name = |lease: &str| {
        let name = lease.rsplit(' ').next().unwrap();
        sandbox.gateways.iter().find(|gateway| gateway.name() == name).unwrap().address()
    };
    leases.chunks(2).map(|pair| (pair[0].to_owned(), by_name(pair[1]))).collect()
}

#[tokio::test]
async fn a_user_with_a_token_hash_has_all_sessions_on_one_gateway_whatever_the_address() {
    let sandbox =
        Sandbox::builder().gateways(2).notifier().nginx(Upstream::TokenHash).start().await.unwrap();
    let checker = Checker::new();
    let mut followers = Vec::new();
    let mut users = Vec::new();
    for user in 0..20 {
        let user = format!("user-{user}");
        for (transport, address) in
            [Transport::Polling, Transport::WebSocket].into_iter().zip(networks(2))
        {
            let options = sandbox.nginx().session(&user).transport(transport).source_ip(address);
            let options = SessionOptions { token_in: TokenIn::Query, ..options };
            followers.push(follow(&checker, options, Start::Now).await);
        }
        users.push(user);
    }
    for user in &users {
        send(&sandbox.notifier().grpc(), &checker, &Outgoing::new(user, "1")).await;
    }
    all_arrives(&checker, PATIENCE).await;
    let mut gateways = HashSet::new();
    for user in presence(sandbox.notifier(), &users).await {
        let of_user: HashSet<_> =
            user.sessions.into_iter().map(|session| session.gateway).collect();
        assert_eq!(of_user.len(), 1, "{} is on {of_user:?}", user.user_id);
        gateways.extend(of_user);
    }
    assert_eq!(gateways.len(), 2, "all users on one gateway");
}

#[tokio::test]
async fn without_stickiness_websockets_are_spread_and_polling_is_refused() {
    let sandbox = Sandbox::builder()
        .gateways(2)
        .notifier()
        .nginx(Upstream::WebSocketOnly)
        .start()
        .await
        .unwrap();
    let nginx = sandbox.nginx();
    let refused = Session::connect(nginx.session("alice").transport(Transport::Polling)).await;
    assert_eq!(refused.unwrap_err().status().map(|status| status.as_u16()), Some(400));

    let checker = Checker::new();
    let mut followers = Vec::new();
    for _ in 0..10 {
        followers.push(follow(&checker, nginx.session("alice"), Start::Now).await);
    }
    let sessions = presence(sandbox.notifier(), &["alice".to_owned()]).await.remove(0).sessions;
    let shares = tally(sessions.into_iter().map(|session| session.gateway));
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [5, 5]);
    send(&sandbox.notifier().grpc(), &checker, &Outgoing::new("alice", "1")).await;
    all_arrives(&checker, PATIENCE).await;
}
