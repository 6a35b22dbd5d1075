//! Herald, as released and with its defaults, but for how fast clients may come: that is measured.

use herald_e2e::Spawn;
use herald_loadgen::measure::{Dialect, Signer, Tokens};

use super::{
    Clients, Running, Telemetry,
    parts::{Builder, ours},
};

/// What JWTs are signed with.
const SECRET: &str = "measured-and-not-at-all-a-secret";

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
    let producer = system.grpc(grpc);
    Ok(system.finish(vec![gateway], Dialect::default(), producer))
}

/// Redis that keeps what it is told, a notifier, and gateways.
pub(super) async fn redis(
    gateways: u32,
    clients: Clients,
    telemetry: Telemetry,
) -> anyhow::Result<Running> {
    let mut system = Builder::new()?;
    let bare = if telemetry == Telemetry::Out { "bare/" } else { "" };
    let binary = |name| ours(&format!("{bare}{name}"));
    let traces = match telemetry {
        Telemetry::Off | Telemetry::Out => Vec::new(),
        Telemetry::Traces(share) => vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", system.collector().await?),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
            ("OTEL_TRACES_SAMPLER_ARG", share.to_string()),
        ],
    };
    let auth: &[(&str, &str)] = match clients {
        Clients::ByTheirWord => &[("HERALD_CLIENT_AUTH", "insecure")],
        Clients::Signed => {
            system.tokens(Tokens::Signed(Signer::new(SECRET.as_bytes(), None, None)));
            &[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)]
        }
    };
    let redis = format!("redis://{}/0", system.redis(true).await?);
    let mut addresses = Vec::new();
    let mut admins = Vec::new();
    for number in 0..gateways {
        let (address, admin) = (system.port()?, system.port()?);
        let spawn = Spawn::new(format!("gateway-{number}"), binary("herald-gateway")?)
            .env("HERALD_BACKPLANE", &redis)
            .env("HERALD_GATEWAY_NAME", format!("gateway-{number}"))
            .env("HERALD_GATEWAY_LISTEN", address.to_string())
            .env("HERALD_GATEWAY_ADMIN_LISTEN", admin.to_string())
            .env("HERALD_HANDSHAKE_RATE", UNBOUNDED)
            .env("HERALD_MAX_CONNECTING", UNBOUNDED)
            // As in their image.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .env("MIMALLOC_ALLOW_THP", "0");
        let spawn = auth.iter().fold(spawn, |spawn, (name, value)| spawn.env(*name, *value));
        let spawn = traces.iter().fold(spawn, |spawn, (name, value)| spawn.env(*name, value));
        system.spawn("gateway", &spawn)?;
        addresses.push(address);
        admins.push(admin);
    }
    let (grpc, admin) = (system.port()?, system.port()?);
    let spawn = Spawn::new("notifier", binary("herald-notifier")?)
        .env("HERALD_BACKPLANE", &redis)
        .env("HERALD_NOTIFIER_GRPC_LISTEN", grpc.to_string())
        .env("HERALD_NOTIFIER_HTTP_LISTEN", "127.0.0.1:0")
        .env("HERALD_NOTIFIER_ADMIN_LISTEN", admin.to_string());
    let spawn = traces.iter().fold(spawn, |spawn, (name, value)| spawn.env(*name, value));
    system.spawn("notifier", &spawn)?;
    admins.push(admin);
    for admin in admins {
        system.answers(admin, "/ready").await?;
    }
    let producer = system.grpc(grpc);
    Ok(system.finish(addresses, Dialect::default(), producer))
}
