//! bench/node: Socket.IO with the Redis adapter, and a notifier over gRPC.

use std::fs;

use anyhow::bail;
use herald_e2e::Spawn;
use herald_loadgen::{
    Sender,
    measure::{Dialect, Producer},
};
use serde_json::Value;

use super::{
    Running,
    parts::{Builder, CALL_DEADLINE, files, system},
};

pub(super) async fn start(gateways: u32) -> anyhow::Result<Running> {
    let scripts = files().join("node");
    if !scripts.join("node_modules").is_dir() {
        bail!("the packages of {} are not there; run: scripts/setup.sh bench", scripts.display());
    }
    let mut stack = Builder::new()?;
    let redis = format!("redis://{}/0", stack.redis(false).await?);
    let node = system("node")?;
    let script = |name: String, file: &str, port: u16| {
        Spawn::new(name, &node)
            .args([scripts.join(file).as_os_str()])
            .args([&port.to_string(), &redis])
            .env("NODE_ENV", "production")
    };
    let mut addresses = Vec::new();
    for number in 0..gateways {
        let address = stack.port()?;
        let spawn = script(format!("gateway-{number}"), "gateway.mjs", address.port());
        stack.spawn("gateway", &spawn)?;
        addresses.push(address);
    }
    let grpc = stack.port()?;
    stack.spawn("notifier", &script("notifier".to_owned(), "notifier.mjs", grpc.port()))?;
    for address in addresses.iter().chain([&grpc]) {
        stack.listens(*address).await?;
    }
    let producer = Producer::Herald(Sender::grpc(grpc, CALL_DEADLINE));
    Ok(stack.finish(addresses, Dialect::default(), producer))
}

/// The packages and their versions.
pub(crate) fn packages() -> Vec<(String, String)> {
    let text = fs::read_to_string(files().join("node/package.json")).unwrap_or_default();
    let package: Value = serde_json::from_str(&text).unwrap_or_default();
    let dependencies = package["dependencies"].as_object().into_iter().flatten();
    dependencies
        .map(|(name, version)| (name.clone(), version.as_str().unwrap_or_default().to_owned()))
        .collect()
}
