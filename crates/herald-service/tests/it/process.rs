//! A whole process. The child is this very test binary, told by a variable to be a service.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use herald_service::{
    AdminPort, Exit, Failure, Process, Program, bind,
    config::{Reader, Source},
    launch,
};

const ROLE: &str = "TEST_CHILD_ARGUMENTS";
const DEADLINE: Duration = Duration::from_secs(10);

struct Options {
    admin_listen: SocketAddr,
    stubborn: bool,
}

fn read(r: &mut Reader) -> Options {
    r.group("Test");
    let _ = r.secret("HERALD_TEST_SECRET", "A secret").optional();
    Options {
        admin_listen: r.admin_listen("HERALD_TEST_ADMIN_LISTEN", "127.0.0.1:0"),
        stubborn: r.option("HERALD_TEST_STUBBORN", "Never end").default("false"),
    }
}

async fn serve(options: Options, process: Process) -> Result<(), Failure> {
    let admin = bind("HERALD_TEST_ADMIN_LISTEN", options.admin_listen).await?;
    process.readiness.condition("work").set_ready();
    tracing::info_span!(target: "herald_test", "work").in_scope(|| {});
    let admin = AdminPort::serve(admin, &process);
    if options.stubborn {
        std::future::pending::<()>().await;
    }
    process.shutdown.requested().await;
    admin.stop().await;
    Ok(())
}

/// The child's `main`; as a test of its own it has nothing to do.
#[test]
fn child() {
    let Some(arguments) = std::env::var_os(ROLE) else {
        return;
    };
    let arguments = arguments.into_string().unwrap();
    let program = Program { name: "herald-test", version: "1.2.3", about: "A test" };
    let source = Source::new(arguments.split_whitespace(), std::env::vars_os());
    let exit = launch(&program, source, read, serve);
    std::process::exit(exit.code().into());
}

fn command(arguments: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::child", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HERALD_") {
            command.env_remove(name);
        }
    }
    command.env(ROLE, arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a child to its end. One that does not end is killed, and then has no exit code.
fn output(arguments: &str) -> Output {
    let mut child = command(arguments).spawn().unwrap();
    if eventually(|| child.try_wait().unwrap()).is_none() {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

/// What `look` finds before the deadline.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        let found = look();
        if found.is_some() || Instant::now() > end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A child that is killed when the test fails half-way.
struct Running {
    child: Child,
    log: Receiver<String>,
}

impl Running {
    /// Starts a child; a thread of its own reads the log, so that waiting for a line can end.
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, log }
    }

    /// Starts a child and waits until its admin port listens.
    fn start(arguments: &str) -> (Self, SocketAddr) {
        let running = Self::spawn(&mut command(&format!("{arguments} --log-format json")));
        let line = running.wait_for("\"message\":\"listening\"");
        let (_, address) = line.split_once("\"address\":\"").unwrap();
        let (address, _) = address.split_once('"').unwrap();
        (running, address.parse().unwrap())
    }

    /// The next line of the log that contains `text`.
    fn wait_for(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no {text:?} ({error}):\n{}", seen.join("\n")),
            }
        }
    }

    fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    fn exit(&mut self) -> Option<i32> {
        let status = eventually(|| self.child.try_wait().unwrap());
        status.expect("the process ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bad_configuration_lists_all_faults_and_exits_64_before_anything_starts() {
    let output = output("--log-format xml --test-admin-listen here --unknown");
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    for subject in ["HERALD_LOG_FORMAT:", "HERALD_TEST_ADMIN_LISTEN:", "--unknown:"] {
        assert!(text.contains(subject), "{subject} in {text}");
    }
}

#[test]
fn check_config_prints_what_is_in_force_with_secrets_masked() {
    let output = output("--check-config --log debug --test-secret hunter2");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("HERALD_LOG=debug"), "{text}");
    assert!(text.contains("HERALD_TEST_SECRET=****"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn help_names_each_option_with_its_variable_and_default_even_if_values_are_bad() {
    let output = output("--help --log-format xml");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "--test-admin-listen <ADDRESS:PORT>",
        "[HERALD_TEST_ADMIN_LISTEN; default: 127.0.0.1:0]",
        "or a file: HERALD_TEST_SECRET_FILE",
        "HERALD_SHUTDOWN_DEADLINE; default: 25s",
        "healthcheck [--live]",
        "--check-config",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn version_is_one_line() {
    let output = output("--version");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("herald-test 1.2.3\n"));
}

#[test]
fn an_unknown_command_is_a_fault() {
    let output = output("frobnicate");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is no command"));
}

#[test]
fn a_taken_port_names_its_option_and_exits_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = output(&format!("--test-admin-listen {address}"));
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8(output.stderr).unwrap().contains("HERALD_TEST_ADMIN_LISTEN"));
}

#[test]
fn the_first_signal_ends_cleanly_and_healthcheck_sees_the_process_until_then() {
    for name in ["TERM", "INT"] {
        let (mut running, address) = Running::start("");
        // The service's other flags need not be repeated, nor be sound.
        let check = output(&format!("healthcheck --test-admin-listen {address} --log-format xml"));
        assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));

        running.signal(name);
        running.wait_for("\"message\":\"stopped\"");
        assert_eq!(running.exit(), Some(Exit::Clean.code().into()), "{name}");

        let check = output(&format!("healthcheck --live --test-admin-listen {address}"));
        assert_eq!(check.status.code(), Some(1));
    }
}

#[test]
fn a_process_that_is_ending_is_alive_and_not_ready() {
    let (running, address) = Running::start("--test-stubborn");
    running.signal("TERM");
    running.wait_for("shutting down");
    let ready = output(&format!("healthcheck --test-admin-listen {address}"));
    assert_eq!(ready.status.code(), Some(1));
    let text = String::from_utf8(ready.stderr).unwrap();
    assert!(text.contains("shutting down"), "{text}");
    let live = output(&format!("healthcheck --live --test-admin-listen {address}"));
    assert_eq!(live.status.code(), Some(0));
}

#[test]
fn the_second_signal_ends_at_once() {
    let (mut running, _) = Running::start("--test-stubborn --shutdown-deadline 1h");
    running.signal("TERM");
    running.wait_for("shutting down");
    running.signal("INT");
    assert_eq!(running.exit(), Some(130));
}

#[test]
fn spans_go_to_the_collector_and_one_that_never_answers_does_not_hold_up_the_end() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = command("--log-format json --log off");
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let mut running = Running::spawn(&mut command);

    collector.set_nonblocking(true).unwrap();
    let accepted = eventually(|| collector.accept().ok());
    let (mut connection, _) = accepted.expect("the exporter connects");
    connection.set_nonblocking(false).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut preface = [0; 14];
    connection.read_exact(&mut preface).unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0", "gRPC, although the log is off");

    running.signal("TERM");
    assert_eq!(running.exit(), Some(0));
}

#[test]
fn a_service_that_does_not_end_is_given_up_after_its_deadline() {
    let (mut running, _) = Running::start("--test-stubborn --shutdown-deadline 1s");
    running.signal("TERM");
    assert_eq!(running.exit(), Some(Exit::Internal.code().into()));
    running.wait_for("herald-test: shutting down was not done within 1s");
}
