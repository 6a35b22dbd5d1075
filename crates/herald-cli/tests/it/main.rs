//! What the command line answers.

use std::process::{Command, Output};

fn herald(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herald"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HERALD_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

/// Exit code, standard output, standard error.
fn says(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = herald(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn help_is_an_answer_and_goes_to_standard_output() {
    for arguments in [&["--help"], &["-h"], &["help"]] {
        let (code, out, err) = says(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains("Usage: herald <command>") && out.contains("\n  dev "), "{out}");
    }
    let (code, out, _) = says(&["--version"]);
    assert_eq!((code, out), (0, format!("herald {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_command_tells_its_options_with_flag_variable_and_default() {
    let asked = [says(&["dev", "--help"]), says(&["help", "dev"])];
    for (code, out, _) in &asked {
        assert_eq!(*code, 0);
        for part in ["Usage: herald dev", "--dev-listen", "HERALD_DEV_LISTEN", "127.0.0.1:8000"] {
            assert!(out.contains(part), "{part} is not in:\n{out}");
        }
    }
    assert_eq!(asked[0], asked[1]);
}

#[test]
fn what_there_is_not_is_named_and_followed_by_what_there_is() {
    for (arguments, named) in [
        (&["nonsense"][..], "no command `nonsense`"),
        (&["help", "nonsense"], "no command `nonsense`"),
        (&["--nonsense"], "no flag `--nonsense`"),
        (&[], "Usage"),
    ] {
        let (code, out, err) = says(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
        assert!(err.contains(named) && err.contains("Usage: herald <command>"), "{err}");
    }
}

#[test]
fn the_configuration_is_checked_without_starting_anything() {
    let (code, out, err) = says(&["dev", "--check-config", "--dev-listen", "127.0.0.1:18000"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for setting in ["HERALD_DEV_LISTEN=127.0.0.1:18000", "HERALD_BACKPLANE=memory:"] {
        assert!(out.contains(setting), "{setting} is not in:\n{out}");
    }
    let (code, _, err) =
        says(&["dev", "--check-config", "--dev-listen", "0.0.0.0:80", "--lease", "long"]);
    assert_eq!(code, 64);
    assert!(err.contains("HERALD_DEV_LISTEN") && err.contains("HERALD_LEASE"), "{err}");
}

#[test]
fn what_keeps_an_explanation_from_being_asked_for_is_said() {
    const NOTICE: &str = "1764000000000-0-89abcdef";
    // Nothing listens there: the port is reserved.
    const NOBODY: &str = "http://127.0.0.1:1";
    for (arguments, code, said) in [
        (&["explain"][..], 64, "<USER>"),
        (&["explain", "alice", NOTICE, "--timeout", "0"], 64, "--timeout"),
        (&["explain", "alice", NOTICE, "--notifier", "nonsense"], 64, "http://host:port"),
        (&["explain", "alice", NOTICE, "--notifier", "ftp://host"], 64, "http://host:port"),
        (&["explain", "alice", NOTICE, "--api-key-file", "/nowhere"], 64, "/nowhere: No such file"),
        (
            &["explain", "alice", NOTICE, "--ca-file", "/nowhere"],
            64,
            "certificates are of use with https only",
        ),
        (
            &[
                "explain",
                "alice",
                NOTICE,
                "--notifier",
                "https://localhost:1",
                "--ca-file",
                "/nowhere",
            ],
            64,
            "/nowhere: No such file",
        ),
        (&["explain", "alice", NOTICE, "--cert-file", "/nowhere"], 64, "--key-file"),
        (&["explain", "alice", NOTICE, "--notifier", NOBODY], 69, "no notifier answers at"),
    ] {
        let (exit, out, err) = says(arguments);
        assert_eq!((exit, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(said), "{said} is not in: {err}");
    }
    let (code, out, _) = says(&["explain", "--help"]);
    assert_eq!(code, 0);
    for part in ["--notifier", "HERALD_NOTIFIER_URL", "--json", "Exit codes"] {
        assert!(out.contains(part), "{part} is not in:\n{out}");
    }
}
