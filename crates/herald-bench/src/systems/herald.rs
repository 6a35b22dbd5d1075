//! Herald, as released and with its defaults, but for how fast clients may come: that is measured.

use herald_e2e::Spawn;
use herald_loadgen::{
    Sender,
    measure::{Dialect, Producer},
};

use super::{
    Running,
    parts::{Builder, CALL_DEADLINE, ours},
};

/// More than there are.
const UNBOUNDED: &str = "1000000";

/// One process without Redis.
pub(super) async fn embedded() -> anyhow::Result<Running> {
    let mut system = Builder::new()?;
    let (admin, gateway, grpc) = (system.port()?, system.port()?, system.port()?);
    let spawn = Spawn::new("herald", ours("herald")?)
        .args(["dev", "--gateway-admin-listen", &admin.to_string()])
        .args(["--dev-listen", "127.0.0.1:0", "--gateway-listen", &gateway.to_string()])
        .args(["--notifier-grpc-listen", &grpc.to_string()])
        .args(["--notifier-http-listen", "127.0.0.1:0"])
        .args(["--handshake-rate", UNBOUNDED, "--max-connecting", UNBOUNDED]);
    system.spawn("herald", &spawn)?;
    system.answers(admin, "/ready").await?;
    let producer = Producer::Herald(Sender::grpc(grpc, CALL_DEADLINE));
    Ok(system.finish(vec![gateway], Dialect::default(), producer))
}

/// Redis that keeps what it is told, a notifier, and gateways.
pub(super) async fn redis(gateways: u32) -> anyhow::Result<Running> {
    let mut system = Builder::new()?;
    let redis = format!("redis://{}/0", system.redis(true).await?);
    let mut addresses = Vec::new();
    let mut admins = Vec::new();
    for number in 0..gateways {
        let (address, admin) = (system.port()?, system.port()?);
        let spawn = Spawn::new(format!("gateway-{number}"), ours("herald-gateway")?)
            .env("HERALD_BACKPLANE", &redis)
            .env("HERALD_GATEWAY_NAME", format!("gateway-{number}"))
            .env("HERALD_GATEWAY_LISTEN", address.to_string())
            .env("HERALD_GATEWAY_ADMIN_LISTEN", admin.to_string())
            .env("HERALD_HANDSHAKE_RATE", UNBOUNDED)
            .env("HERALD_MAX_CONNECTING", UNBOUNDED)
            .env("HERALD_CLIENT_AUTH", "insecure")
            .env("HERALD_SESSIONS_PER_USER", "100000");
        system.spawn("gateway", &spawn)?;
        addresses.push(address);
        admins.push(admin);
    }
    let (grpc, admin) = (system.port()?, system.port()?);
    let spawn = Spawn::new("notifier", ours("herald-notifier")?)
        .env("HERALD_BACKPLANE", &redis)
        .env("HERALD_NOTIFIER_GRPC_LISTEN", grpc.to_string())
        .env("HERALD_NOTIFIER_HTTP_LISTEN", "127.0.0.1:0")
        .env("HERALD_NOTIFIER_ADMIN_LISTEN", admin.to_string());
    system.spawn("notifier", &spawn)?;
    admins.push(admin);
    for admin in admins {
        system.answers(admin, "/ready").await?;
    }
    let producer = Producer::Herald(Sender::grpc(grpc, CALL_DEADLINE));
    Ok(system.finish(addresses, Dialect::default(), producer))
}
