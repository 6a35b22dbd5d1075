//! From a backplane URL to the servers that it names.

use std::time::Duration;

use redis::{IntoConnectionInfo, RedisConnectionInfo};

use super::{
    node::{Node, Settings},
    sentinel::Sentinels,
    slots::HostPort,
};
use crate::OpenError;

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What a URL names.
#[derive(Debug)]
pub(super) enum Address {
    /// One server.
    Standalone(Node),
    /// The master that Sentinel names.
    Sentinel(Sentinels),
    /// The masters of a cluster, of which any of these know.
    Cluster { seeds: Vec<HostPort>, settings: Settings },
}

/// How a URL of each kind looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Standalone,
    Sentinel,
    Cluster,
}

impl Form {
    fn expected(self) -> &'static str {
        match self {
            Self::Standalone => "redis://[user:password@]host[:port][/database]",
            Self::Sentinel => {
                "redis-sentinel://[user:password@]host[:port][,host[:port]…]/master[/database]\
                 [?sentinel-user=…&sentinel-password=…]"
            }
            Self::Cluster => "redis-cluster://[user:password@]host[:port][,host[:port]…]",
        }
    }
}

/// The parts of a URL that may name several servers.
struct Parts<'a> {
    /// `user:password`, percent-encoded.
    login: Option<&'a str>,
    hosts: Vec<HostPort>,
    path: &'a str,
    query: &'a str,
}

impl Address {
    /// # Errors
    /// [`OpenError`] that never shows the password.
    pub(super) fn parse(url: &str, deadline: Duration) -> Result<Self, OpenError> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (form, tls) = match scheme {
            "redis" => (Form::Standalone, false),
            "rediss" => (Form::Standalone, true),
            "redis-sentinel" => (Form::Sentinel, false),
            "rediss-sentinel" => (Form::Sentinel, true),
            "redis-cluster" => (Form::Cluster, false),
            "rediss-cluster" => (Form::Cluster, true),
            _ => {
                return Err(OpenError(
                    "names no backplane; use redis://host:port/database, \
                     redis-sentinel://host:port,host:port/master, redis-cluster://host:port,host:port \
                     (rediss… with TLS) or memory:"
                        .into(),
                ));
            }
        };
        let parsed = match form {
            Form::Standalone => standalone(rest, tls, deadline),
            Form::Sentinel => sentinel(rest, tls, deadline),
            Form::Cluster => cluster(rest, tls, deadline),
        };
        parsed.map_err(|why| {
            OpenError(format!("not a Redis address ({why}); expected {}", form.expected()))
        })
    }
}

fn standalone(rest: &str, tls: bool, deadline: Duration) -> Result<Address, String> {
    let parts = Parts::of(rest, SERVER_PORT)?;
    let [(host, port)] = &parts.hosts[..] else {
        return Err(format!("{} servers instead of one", parts.hosts.len()));
    };
    parts.no_query()?;
    let settings = Settings::new(tls, login(parts.login, database(parts.path)?)?, deadline);
    settings.node(host, *port).map(Address::Standalone).map_err(|error| error.to_string())
}

fn sentinel(rest: &str, tls: bool, deadline: Duration) -> Result<Address, String> {
    let parts = Parts::of(rest, SENTINEL_PORT)?;
    let (master, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if master.is_empty() {
        return Err("the master's name is missing".into());
    }
    let mut of_sentinels = RedisConnectionInfo::default();
    for (name, value) in parts.query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decoded(value)?;
        of_sentinels = match name {
            "sentinel-user" => of_sentinels.set_username(value),
            "sentinel-password" => of_sentinels.set_password(value),
            _ => return Err(format!("`{name}` is no parameter")),
        };
    }
    let of_sentinels = Settings::new(tls, of_sentinels, deadline);
    let nodes = parts.hosts.iter().map(|(host, port)| of_sentinels.node(host, *port));
    Ok(Address::Sentinel(Sentinels {
        nodes: nodes.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
        master: decoded(master)?,
        servers: Settings::new(tls, login(parts.login, database(db)?)?, deadline),
    }))
}

fn cluster(rest: &str, tls: bool, deadline: Duration) -> Result<Address, String> {
    let parts = Parts::of(rest, SERVER_PORT)?;
    parts.no_query()?;
    if !["", "0"].contains(&parts.path) {
        return Err("a cluster has database 0 only".into());
    }
    let settings = Settings::new(tls, login(parts.login, 0)?, deadline);
    for (host, port) in &parts.hosts {
        settings.node(host, *port).map_err(|error| error.to_string())?;
    }
    Ok(Address::Cluster { seeds: parts.hosts, settings })
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str, default_port: u16) -> Result<Self, String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let hosts = hosts.split(',').map(|host| host_and_port(host, default_port));
        let path = path.strip_suffix('/').unwrap_or(path);
        Ok(Self { login, hosts: hosts.collect::<Result<_, _>>()?, path, query })
    }

    fn no_query(&self) -> Result<(), String> {
        if self.query.is_empty() { Ok(()) } else { Err("it takes no parameters".into()) }
    }
}

fn host_and_port(text: &str, default_port: u16) -> Result<HostPort, String> {
    // An IPv6 address stands in brackets, because of its colons.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("`{port}` is no port"))?,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() || (bare.is_none() && host.contains(':')) || host.contains(['[', ']', ' ']) {
        return Err("a host is missing or malformed".into());
    }
    if ["0.0.0.0", "::"].contains(&host) {
        return Err(format!("nobody can connect to {host}"));
    }
    Ok((host.to_owned(), port))
}

fn database(path: &str) -> Result<i64, String> {
    if path.is_empty() {
        return Ok(0);
    }
    let number = path.parse::<u32>().map_err(|_| format!("`{path}` is no database number"))?;
    Ok(number.into())
}

fn login(userinfo: Option<&str>, db: i64) -> Result<RedisConnectionInfo, String> {
    let login = RedisConnectionInfo::default().set_db(db);
    let Some(userinfo) = userinfo else { return Ok(login) };
    // The client library knows how user and password are written in a URL.
    let info = format!("redis://{userinfo}@host")
        .into_connection_info()
        .map_err(|_| "user and password are malformed; percent-encode what is special")?;
    Ok(info.redis_settings().clone().set_db(db))
}

fn decoded(text: &str) -> Result<String, String> {
    let info = format!("redis://:{text}@host")
        .into_connection_info()
        .map_err(|_| "a part is malformed; percent-encode what is special")?;
    Ok(info.redis_settings().password().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);

    fn parse(url: &str) -> Result<Address, OpenError> {
        Address::parse(url, DEADLINE)
    }

    fn node(url: &str) -> Node {
        match parse(url).unwrap() {
            Address::Standalone(node) => node,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_server_is_named_with_or_without_port_and_database() {
        for (url, shown) in [
            ("redis://cache.example", "cache.example:6379/0"),
            ("redis://joe:hunter2@cache.example:6380/3", "cache.example:6380/3"),
            ("redis://:p%40ss@127.0.0.1/", "127.0.0.1:6379/0"),
            ("rediss://[::1]:7000/1", "::1:7000/1"),
        ] {
            assert_eq!(node(url).shown(), shown);
        }
    }

    #[test]
    fn sentinels_are_named_with_the_master_they_watch() {
        let url = "redis-sentinel://joe:p%2Fw@a,b:26380/my-master/2?sentinel-password=x%26y";
        let Address::Sentinel(sentinels) = parse(url).unwrap() else { panic!() };
        let shown: Vec<_> = sentinels.nodes.iter().map(Node::shown).collect();
        assert_eq!(shown, ["a:26379/0", "b:26380/0"]);
        assert_eq!(sentinels.master, "my-master");
        assert_eq!(sentinels.servers.node("c", 1).unwrap().shown(), "c:1/2");
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_servers() {
        let url = "rediss-cluster://joe:pw@a,b:7001,[::1]:7002/";
        let Address::Cluster { seeds, settings } = parse(url).unwrap() else { panic!() };
        let seeds: Vec<_> = seeds.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(seeds, [("a", 6379), ("b", 7001), ("::1", 7002)]);
        assert_eq!(settings.node("c", 1).unwrap().shown(), "c:1/0");
    }

    #[test]
    fn what_is_shown_has_no_password() {
        for url in [
            "redis://joe:hunter2@cache.example:6380/3",
            "redis-sentinel://joe:hunter2@a,b/m?sentinel-password=hunter2",
            "redis-cluster://joe:hunter2@a,b",
        ] {
            let shown = format!("{:?}", parse(url).unwrap());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn another_scheme_is_told_which_there_are() {
        for url in ["http://hunter2", "hunter2", "", "redis:hunter2", "memory:hunter2"] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains("redis://") && error.contains("memory:"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_wrong_address_is_explained_without_its_secret() {
        for (url, why) in [
            ("redis://joe:hunter2@host:notaport", "`notaport` is no port"),
            ("redis://joe:hunter2@", "host is missing"),
            ("redis://joe:hunter2@a,b", "2 servers instead of one"),
            ("redis://joe:hunter2@a/one", "`one` is no database number"),
            ("redis://joe:hunter2@a?db=1", "no parameters"),
            ("redis://joe:hunter2@0.0.0.0", "nobody can connect to 0.0.0.0"),
            ("redis-sentinel://joe:hunter2@a,b", "the master's name is missing"),
            ("redis-sentinel://joe:hunter2@a,/m", "host is missing"),
            ("redis-sentinel://joe:hunter2@a/m/x", "`x` is no database number"),
            ("redis-sentinel://joe:hunter2@a/m?password=hunter2", "`password` is no parameter"),
            ("redis-cluster://joe:hunter2@a,b/1", "database 0 only"),
            ("redis-cluster://joe:hunter2@a,b?db=1", "no parameters"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("expected redis"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
