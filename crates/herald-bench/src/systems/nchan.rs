//! nchan: each gateway is an nginx of its own, and publishers post to all of them in turn.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use herald_e2e::Spawn;
use herald_loadgen::measure::{Dialect, Producer};
use rustix::process::{Resource, getrlimit};

use super::{
    Running,
    parts::{Builder, CALL_DEADLINE, files, system},
};

/// Where Debian puts it.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) async fn start(gateways: u32) -> anyhow::Result<Running> {
    if !Path::new(MODULE).is_file() {
        bail!("libnginx-mod-nchan is not installed; run: scripts/setup.sh bench");
    }
    let template = files().join("nginx/nchan.conf");
    let template = fs::read_to_string(&template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    let mut stack = Builder::new()?;
    let redis = stack.redis(false).await?;
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(1 << 20);
    let mut addresses = Vec::new();
    for number in 0..gateways {
        let address = stack.port()?;
        let directory = stack.directory(&format!("nginx-{number}"))?;
        fs::create_dir_all(directory.join("temp"))?;
        let config = template
            .replace("@MODULE@", MODULE)
            .replace("@FILES@", &files.to_string())
            .replace("@REDIS@", &redis.to_string())
            .replace("@PORT@", &address.port().to_string());
        fs::write(directory.join("nginx.conf"), config)?;
        let spawn = Spawn::new(format!("gateway-{number}"), system("nginx")?)
            .args(["-p".as_ref(), directory.as_os_str()])
            .args(["-c", "nginx.conf", "-e", "stderr"]);
        stack.spawn("gateway", &spawn)?;
        addresses.push(address);
    }
    for address in &addresses {
        // 503 until it has its connections to Redis.
        stack.accepts(*address, "/pub?id=ready").await?;
    }
    let dialect = Dialect::WebSocket { target: "/sub?id={user}".to_owned() };
    let producer = Producer::post(&addresses, "/pub?id={user}", CALL_DEADLINE);
    Ok(stack.finish(addresses, dialect, producer))
}
