//! The rule for options, seen from outside.

use std::{fs, net::SocketAddr, time::Duration};

use super::*;

fn reader(args: &[&str], env: &[(&str, &str)]) -> Reader {
    Reader::new(Source::new(args.iter().copied(), env.iter().copied()))
}

fn lease(r: &mut Reader) -> Duration {
    r.option("HERALD_LEASE", "How long a silent gateway is believed alive")
        .within(Duration::from_secs(2)..=Duration::from_secs(300))
        .default("10s")
}

fn listen(r: &mut Reader) -> SocketAddr {
    r.option("HERALD_GATEWAY_LISTEN", "Where clients connect").default("0.0.0.0:8013")
}

fn faults(r: Reader) -> String {
    r.finish().unwrap_err().to_string()
}

#[test]
fn a_flag_wins_over_its_variable_and_both_over_the_default() {
    let read = |args: &[&str], env: &[(&str, &str)]| {
        let mut r = reader(args, env);
        let value = lease(&mut r);
        let effective = r.finish().unwrap();
        (value.as_secs(), effective.settings()[0].origin.clone())
    };
    let env = [("HERALD_LEASE", "20s")];
    assert_eq!(read(&[], &[]), (10, Origin::Default));
    assert_eq!(read(&[], &env), (20, Origin::Environment));
    assert_eq!(read(&["--lease", "30s"], &env), (30, Origin::Flag));
    assert_eq!(read(&["--lease=30s"], &env), (30, Origin::Flag));
    assert_eq!(read(&[], &[("HERALD_LEASE", "")]), (10, Origin::Default), "empty is unset");
}

#[test]
fn a_preset_replaces_the_default_and_nothing_else() {
    let read = |env: &[(&str, &str)]| {
        let source = Source::environment(env.iter().copied()).preset("HERALD_LEASE", "5s");
        load(source, lease).unwrap().as_secs()
    };
    assert_eq!(read(&[]), 5);
    assert_eq!(read(&[("HERALD_LEASE", "20s")]), 20);
}

#[test]
fn every_fault_is_listed_at_once_with_value_expectation_and_example() {
    let mut r = reader(
        &["--lease", "1s", "--gateway-lisen", "x", "stray"],
        &[("HERALD_GATEWAY_LISTEN", "here")],
    );
    assert_eq!(listen(&mut r), "0.0.0.0:8013".parse().unwrap(), "a stand-in");
    lease(&mut r);
    let _: String = r.option("HERALD_CLIENT_AUTH", "How clients prove who they are").required();
    let text = faults(r);

    let line = |start: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("no line starts with {start}:\n{text}")).to_owned()
    };
    let listen = line("HERALD_GATEWAY_LISTEN:");
    for part in ["\"here\"", "environment", "an IP address and a port", "127.0.0.1:8013"] {
        assert!(listen.contains(part), "{part} in {listen}");
    }
    assert!(line("HERALD_LEASE:").contains("is not within 2s to 300s"));
    assert!(line("HERALD_CLIENT_AUTH:").contains("is required"));
    assert!(line("--gateway-lisen:").contains("did you mean --gateway-listen?"));
    assert!(line("arguments:").contains("place 5"));
    assert!(text.contains("has 5 faults"), "{text}");
}

#[test]
fn a_flag_without_value_or_given_twice_is_a_fault() {
    for args in
        [&["--lease"][..], &["--lease="], &["--lease", "--other"], &["--lease=5s", "--lease=6s"]]
    {
        let mut r = reader(args, &[("HERALD_LEASE", "20s")]);
        lease(&mut r);
        assert!(r.at_fault("HERALD_LEASE"), "{args:?}");
    }
}

#[test]
fn an_empty_flag_is_a_fault_even_where_any_text_is_valid() {
    let mut r = reader(&["--gateway-name="], &[]);
    let name: Option<String> = r.option("HERALD_GATEWAY_NAME", "Its name").optional();
    assert_eq!(name, None);
    assert!(faults(r).contains("needs a value"));
}

#[test]
fn a_switch_may_stand_alone() {
    let read = |args: &[&str]| {
        let mut r = reader(args, &[]);
        let allowed: bool = r.option("HERALD_ALLOW_INSECURE", "Allow it").default("false");
        lease(&mut r);
        r.finish().unwrap();
        allowed
    };
    assert!(!read(&[]));
    assert!(read(&["--allow-insecure"]));
    assert!(read(&["--allow-insecure", "--lease", "5s"]));
    assert!(read(&["--allow-insecure", "true"]));
    assert!(!read(&["--allow-insecure", "false"]));
    assert!(!read(&["--allow-insecure=no"]));
}

#[test]
fn an_unknown_variable_is_a_warning_with_a_guess() {
    let mut r = reader(
        &[],
        &[
            ("HERALD_GATEWAY_LISTNE", "127.0.0.1:1"),
            ("HERALD_NOTIFIER_GRPC_LISTEN", "127.0.0.1:2"),
            ("HERALD_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    );
    listen(&mut r);
    let effective = r.finish().unwrap();
    let [typo, sibling] = effective.warnings() else { panic!("{:?}", effective.warnings()) };
    assert!(typo.contains("did you mean HERALD_GATEWAY_LISTEN?"), "{typo}");
    assert!(sibling.contains("HERALD_NOTIFIER_GRPC_LISTEN"), "{sibling}");
    assert!(!typo.contains("127.0.0.1"), "its value may be a secret: {typo}");
}

fn secret(r: &mut Reader) -> Option<Secret> {
    r.secret("HERALD_JWT_SECRET", "Key of HS256 tokens")
        .ensure(|secret| match secret.expose().len() {
            0..32 => Err("is shorter than 32 bytes".into()),
            _ => Ok(()),
        })
        .optional()
}

#[test]
fn a_secret_comes_from_a_file_without_its_last_line_break() {
    let key = "k".repeat(32);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{key}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    for mut r in [
        reader(&[], &[("HERALD_JWT_SECRET_FILE", path)]),
        reader(&["--jwt-secret-file", path], &[]),
    ] {
        assert_eq!(secret(&mut r).unwrap().expose(), key);
        let effective = r.finish().unwrap();
        assert_eq!(effective.settings()[0].origin, Origin::File(path.into()));
        assert!(effective.warnings().is_empty(), "{effective}");
    }
}

#[test]
fn a_secret_given_twice_or_in_a_bad_file_is_a_fault() {
    let key = "k".repeat(32);
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    for (env, expected) in [
        (&[("HERALD_JWT_SECRET", &*key), ("HERALD_JWT_SECRET_FILE", empty)][..], "not both"),
        (&[("HERALD_JWT_SECRET_FILE", empty)], "is empty"),
        (&[("HERALD_JWT_SECRET_FILE", "/nowhere/key")], "cannot read /nowhere/key"),
        (&[("HERALD_JWT_SECRET_FILE", "/dev/zero")], "larger than 1 MiB"),
    ] {
        let mut r = reader(&[], env);
        secret(&mut r);
        let text = faults(r);
        assert!(text.contains(expected), "{expected} in {text}");
        assert!(text.contains("HERALD_JWT_SECRET"), "{text}");
    }
}

#[test]
fn a_secret_is_printed_nowhere() {
    // A good one, a bad one, one whose flag is misspelt, one that lost its flag.
    let good = "hunter2".repeat(5);
    let mut r = reader(&[], &[("HERALD_JWT_SECRET", &good)]);
    secret(&mut r);
    let effective = r.finish().unwrap();
    let printed = format!("{effective} {effective:?} {}", effective.chosen());
    assert!(!printed.contains("hunter2") && printed.contains(MASK), "{printed}");

    for args in [
        &["--jwt-secret", "hunter2"][..],
        &["--jwt-secert=hunter2"],
        &["--jwt-secert", "hunter2"],
        &["--jwt-secret=", "hunter2"],
    ] {
        let mut r = reader(args, &[]);
        secret(&mut r);
        let faults = r.finish().unwrap_err();
        let printed = format!("{faults} {faults:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

fn backplane(r: &mut Reader) -> String {
    r.parsed("HERALD_BACKPLANE", "Where sessions and inboxes are kept", |text| {
        let is_url = text.starts_with("redis://") || text == "memory:";
        if is_url { Ok(text.to_owned()) } else { Err(format!("{text} is no such URL")) }
    })
    .describe("URL", "memory: or a Redis URL", "redis://redis:6379/0")
    .or_file()
    .required()
}

#[test]
fn a_password_in_a_url_is_masked_in_what_is_in_force_and_in_faults() {
    let mut r = reader(&["--backplane", "redis://:hunter2@h/0"], &[]);
    assert_eq!(backplane(&mut r), "redis://:hunter2@h/0");
    let effective = r.finish().unwrap().to_string();
    assert!(effective.contains("HERALD_BACKPLANE=redis://****@h/0"), "{effective}");

    let mut r = reader(&["--backplane", "rides://:hunter2@h/0"], &[]);
    backplane(&mut r);
    let text = faults(r);
    assert!(text.contains("rides://****@h/0") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_check_runs_only_on_values_that_are_sound() {
    let check = |value: &str| {
        let mut r = reader(&[], &[("HERALD_LEASE", value)]);
        let lease = lease(&mut r);
        r.check(&["HERALD_LEASE"], || match lease.as_secs() {
            ..30 => Err("must be 30s at least for this".into()),
            _ => Ok(()),
        });
        r.finish()
    };
    assert!(check("40s").is_ok());
    assert!(check("20s").unwrap_err().to_string().contains("must be 30s"));
    let unsound = check("nonsense").unwrap_err();
    assert_eq!(unsound.iter().count(), 1, "{unsound}");
}

#[test]
fn an_option_declared_by_two_components_is_one_option() {
    let mut r = reader(&["--backplane", "memory:"], &[]);
    assert_eq!(backplane(&mut r), backplane(&mut r));
    assert_eq!(r.finish().unwrap().settings().len(), 1);

    let mut r = reader(&["--backplane", "nonsense"], &[]);
    backplane(&mut r);
    backplane(&mut r);
    assert_eq!(r.finish().unwrap_err().iter().count(), 1);
}

#[test]
fn what_is_in_force_can_be_used_as_an_environment_file() {
    let mut r = reader(&["--lease", "5s"], &[("HERALD_JWT_SECRET", &"k".repeat(32))]);
    lease(&mut r);
    secret(&mut r);
    let _: Option<String> = r.option("HERALD_GATEWAY_NAME", "Its name").optional();
    let text = r.finish().unwrap().to_string();
    let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let [only] = settings[..] else { panic!("{text}") };
    assert!(only.starts_with("HERALD_LEASE=5s "), "{text}");
    assert!(text.contains("# HERALD_JWT_SECRET=****"), "{text}");
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_a_fault_of_its_own() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
    let broken = || OsString::from_vec(b"5s\xff".to_vec());
    let env = [(OsString::from("HERALD_LEASE"), broken()), (OsString::from("OTHER"), broken())];
    let mut r = Reader::new(Source::new([""; 0], env));
    lease(&mut r);
    let faults = r.finish().unwrap_err();
    assert_eq!(faults.iter().count(), 1, "{faults}");
    assert!(faults.to_string().contains("HERALD_LEASE: is not valid UTF-8"), "{faults}");
}
