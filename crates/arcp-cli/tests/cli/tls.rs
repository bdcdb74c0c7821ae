//! `arcp serve` with TLS and client certificates, and clients that reach it.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::program::{Serving, arcp, exits, serve, serve_only, text};

/// An authority, and a directory for what it certifies.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, directory: tempfile::tempdir().unwrap() };
        authority.put("ca.pem", &authority.issuer.pem());
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn ca(&self) -> String {
        shown(&self.path("ca.pem"))
    }

    /// Writes a certificate and its key: their paths.
    fn certify(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, key_name) = (format!("{name}.pem"), format!("{name}.key"));
        self.put(&cert, &certificate.pem());
        self.put(&key_name, &key.serialize_pem());
        (shown(&self.path(&cert)), shown(&self.path(&key_name)))
    }

    fn server(&self) -> (String, String) {
        self.certify("server", |_| {})
    }

    fn client(&self, name: &str) -> (String, String) {
        self.certify(name, |params| params.distinguished_name.push(DnType::CommonName, name))
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn serve_tls(authority: &Authority, more: &[&str]) -> Serving {
    let (cert, key) = authority.server();
    serve(&[&["--tls-cert", &cert, "--tls-key", &key], more].concat())
}

/// Who the runtime says that a client is.
fn whoami(serving: &Serving, arguments: &[&str]) -> Output {
    serving.submit(&["whoami", "--no-reconnect"]).args(arguments).output().unwrap()
}

#[track_caller]
fn is(output: &Output, principal: &str) {
    exits(output, 0);
    let expected = format!("\"principal\": \"{principal}\"");
    assert!(text(&output.stdout).contains(&expected), "{}", text(&output.stdout));
}

#[track_caller]
fn fails(output: &Output, code: i32, reason: &str) {
    exits(output, code);
    assert!(text(&output.stderr).contains(reason), "{reason}: {}", text(&output.stderr));
}

#[test]
fn a_client_that_trusts_the_authority_is_served_over_tls() {
    let authority = Authority::new();
    let serving = serve_tls(&authority, &[]);
    assert!(serving.url.starts_with("wss://127.0.0.1:"), "{}", serving.url);
    is(&whoami(&serving, &["--ca", &authority.ca()]), "alice");
    let output = serving.submit(&["whoami"]).env("ARCP_CA", authority.ca()).output().unwrap();
    is(&output, "alice");

    fails(&whoami(&serving, &[]), 3, "not signed by a certificate authority that is trusted");
    fails(&whoami(&serving, &["--ca", &Authority::new().ca()]), 3, "not signed by");
    let wrong = serving.submit(&["whoami", "--ca", &authority.ca()]).env("ARCP_TOKEN", "no").output();
    fails(&wrong.unwrap(), 1, "UNAUTHENTICATED");
}

#[test]
fn a_certificate_that_has_expired_is_not_accepted_on_either_side() {
    let authority = Authority::new();
    let old = |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, "old");
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    };
    let (cert, key) = authority.certify("old", old);
    let serving = serve(&["--tls-cert", &cert, "--tls-key", &key]);
    fails(&whoami(&serving, &["--ca", &authority.ca()]), 3, "its certificate has expired");

    let serving = serve_tls(&authority, &["--client-ca", &authority.ca()]);
    let expired = whoami(&serving, &["--ca", &authority.ca(), "--client-cert", &cert, "--client-key", &key]);
    fails(&expired, 3, "does not accept the client certificate");
}

#[test]
fn a_client_certificate_is_asked_for_as_well_as_a_token() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let serving = serve_tls(&authority, &["--client-ca", &authority.ca()]);
    let (ca, (cert, key), (wrong, wrong_key)) =
        (authority.ca(), authority.client("bob"), stranger.client("bob"));
    is(&whoami(&serving, &["--ca", &ca, "--client-cert", &cert, "--client-key", &key]), "alice");

    fails(&whoami(&serving, &["--ca", &ca]), 3, "asks for a client certificate");
    let wrong = whoami(&serving, &["--ca", &ca, "--client-cert", &wrong, "--client-key", &wrong_key]);
    fails(&wrong, 3, "does not accept the client certificate");
    let without = serving
        .submit(&["whoami", "--ca", &ca, "--client-cert", &cert, "--client-key", &key])
        .env_remove("ARCP_TOKEN")
        .output()
        .unwrap();
    fails(&without, 1, "UNAUTHENTICATED");
}

#[test]
fn a_client_certificate_can_stand_for_a_token() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (cert, key) = authority.server();
    let serving = serve_only(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--client-ca",
        &authority.ca(),
        "--client-cert-principal",
    ]);
    let ca = authority.ca();
    let run = |(cert, key): &(String, String)| {
        let mut command = serving.submit(&["whoami", "--no-reconnect", "--ca", &ca]);
        command.args(["--client-cert", cert, "--client-key", key]).env_remove("ARCP_TOKEN").output().unwrap()
    };
    is(&run(&authority.client("bob")), "bob");
    is(&run(&authority.client("carol")), "carol");
    fails(&run(&stranger.client("bob")), 3, "does not accept the client certificate");
    // A certificate that names nobody, or two, is nobody's; and no token helps.
    let nobody = authority.certify("nobody", |_| {});
    fails(&run(&nobody), 1, "UNAUTHENTICATED");
    for (file, name) in
        [("empty", " "), ("behind", "bob "), ("before", " bob"), ("line", "bob\n"), ("turned", "bob\u{202e}")]
    {
        let certified =
            authority.certify(file, |params| params.distinguished_name.push(DnType::CommonName, name));
        fails(&run(&certified), 1, "UNAUTHENTICATED");
    }
    let two = authority.certify("two", |params| {
        params.distinguished_name.push(DnType::CommonName, "bob");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "carol"); // a common name again
    });
    fails(&run(&two), 1, "UNAUTHENTICATED");
    fails(&whoami(&serving, &["--ca", &ca]), 3, "asks for a client certificate");
}

#[test]
fn what_is_wrong_with_the_files_is_said_before_anything_is_served() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ((cert, key), (_, other)) = (authority.server(), stranger.server());
    authority.put("empty.pem", "nothing\n");
    let empty = shown(&authority.path("empty.pem"));
    let run = |arguments: &[&str]| {
        let mut command = arcp();
        command.args(["serve", "--store", "memory", "--listen", "127.0.0.1:0"]);
        if !arguments.contains(&"--client-cert-principal") {
            command.args(["--token", "a=b"]);
        }
        command.args(arguments).output().unwrap()
    };
    let cases: [(&[&str], &str); 9] = [
        (&["--tls-cert", &cert, "--tls-key", &other], "server.key: is not the key of the certificate in "),
        (&["--tls-cert", &empty, "--tls-key", &key], "empty.pem: has no certificate in it"),
        (&["--tls-cert", &cert, "--tls-key", &empty], "empty.pem: has no private key in it"),
        (&["--tls-cert", "/no/such", "--tls-key", &key], "/no/such: cannot be read: "),
        (
            &["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &empty],
            "empty.pem: has no certificate in it",
        ),
        (&["--tls-cert", &cert], "--tls-key"),
        (&["--client-ca", &cert], "--tls-cert"),
        (&["--tls-cert", &cert, "--tls-key", &key, "--client-cert-principal"], "--client-ca"),
        (
            &[
                "--client-cert-principal",
                "--client-ca",
                &cert,
                "--tls-cert",
                &cert,
                "--tls-key",
                &key,
                "--token",
                "a=b",
            ],
            "cannot be used with",
        ),
    ];
    for (arguments, reason) in cases {
        fails(&run(arguments), 2, reason);
    }
    for (arguments, reason) in [
        (["--url", "wss://runtime.invalid", "--ca", &empty], "empty.pem: has no certificate in it"),
        (["--url", "ws://runtime.invalid", "--ca", &cert], "are for wss://"),
        (["--url", "wss://runtime.invalid", "--client-cert", &cert], "--client-key"),
    ] {
        fails(&arcp().args(["jobs", "--token", "t"]).args(arguments).output().unwrap(), 2, reason);
    }
}

fn tcp(serving: &Serving) -> TcpStream {
    let (_, address) = serving.url.split_once("://").unwrap();
    TcpStream::connect(address.trim_end_matches("/arcp")).unwrap()
}

#[test]
fn who_does_not_speak_tls_is_told_to() {
    let authority = Authority::new();
    let serving = serve_tls(&authority, &[]);
    let mut stream = tcp(&serving);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: r\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("to reach it\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");

    let plain = serving.url.replace("wss://", "ws://");
    let output = arcp().args(["jobs", "--token", "s3cret", "--url", &plain]).output().unwrap();
    fails(&output, 3, "400");
    is(&whoami(&serving, &["--ca", &authority.ca()]), "alice");
}

#[test]
fn a_tls_handshake_that_is_never_done_is_cut_and_keeps_nobody_out() {
    let authority = Authority::new();
    let serving = serve_tls(&authority, &["--handshake-timeout", "1", "--max-connections-per-address", "20"]);
    let mut slow: Vec<_> = (0..10).map(|_| tcp(&serving)).collect();
    for stream in slow.iter_mut().skip(5) {
        stream.write_all(&[22, 3, 1]).unwrap(); // the beginning of a handshake
    }
    is(&whoami(&serving, &["--ca", &authority.ca()]), "alice");
    for stream in &mut slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest); // until it is cut
        assert!(!rest.starts_with(b"HTTP"), "nobody is served without TLS");
    }
}

/// Waits for a line of the log.
#[cfg(unix)]
fn log(serving: &mut Serving, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(serving.stderr.read_line(&mut line).unwrap(), 0, "it ended before it said: {words}");
    }
}

#[cfg(unix)]
fn hang_up(serving: &Serving) {
    let kill = std::process::Command::new("kill").args(["-HUP", &serving.child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

/// Renewals come while sessions are open.
#[cfg(unix)]
#[test]
fn sighup_has_certificates_read_again_and_bad_ones_change_nothing() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut serving = serve_tls(&old, &[]);
    is(&whoami(&serving, &["--ca", &old.ca()]), "alice");
    let mut job = serving
        .submit(&["sleep", "--ca", &old.ca(), "--json", "--input", r#"{"ms":600000}"#])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(job.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("sleeping") {}

    old.put("server.pem", "torn");
    hang_up(&serving);
    log(&mut serving, "the files of TLS stay as they were");
    is(&whoami(&serving, &["--ca", &old.ca()]), "alice");

    let (cert, key) = new.server();
    std::fs::copy(cert, old.path("server.pem")).unwrap();
    std::fs::copy(key, old.path("server.key")).unwrap();
    hang_up(&serving);
    log(&mut serving, "the files of TLS were read again");
    is(&whoami(&serving, &["--ca", &new.ca()]), "alice");
    fails(&whoami(&serving, &["--ca", &old.ca()]), 3, "not signed by");
    assert!(job.try_wait().unwrap().is_none(), "what is open goes on");
    job.kill().unwrap();
    job.wait().unwrap();
}

/// Puts a pipe where a file was. Who opens it waits for somebody to write.
#[cfg(unix)]
fn pipe(authority: &Authority, name: &str) -> String {
    let path = authority.path(name);
    let _ = std::fs::remove_file(&path);
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    shown(&path)
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_huge_file_is_no_file_of_tls_and_holds_up_nobody() {
    let authority = Authority::new();
    let mut serving = serve_tls(&authority, &["--client-ca", &authority.ca()]);
    let (cert, key) = authority.client("bob");
    let identity = ["--ca", &authority.ca(), "--client-cert", &cert, "--client-key", &key];
    let good = std::fs::read_to_string(authority.path("server.key")).unwrap();
    let huge = "#".repeat(2 << 20);
    for name in ["server.key", "server.pem", "ca.pem"] {
        let good = std::fs::read_to_string(authority.path(name)).unwrap();
        pipe(&authority, name);
        hang_up(&serving);
        log(&mut serving, &format!("{name}: is not a regular file"));
        let output = serving.submit(&["whoami", "--no-reconnect"]).args(identity).output().unwrap();
        // The client reads the same file of authorities.
        if name == "ca.pem" {
            fails(&output, 2, "ca.pem: is not a regular file")
        } else {
            is(&output, "alice")
        }
        std::fs::remove_file(authority.path(name)).unwrap();
        authority.put(name, &huge);
        hang_up(&serving);
        log(&mut serving, &format!("{name}: is larger than 1 MiB"));
        authority.put(name, &good);
    }
    hang_up(&serving);
    log(&mut serving, "the files of TLS were read again");
    is(&whoami(&serving, &identity), "alice");

    authority.put("good.key", &good);
    let (pem, key) = (shown(&authority.path("server.pem")), pipe(&authority, "pipe.key"));
    let run = |arguments: &[&str]| {
        let start = ["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--token", "a=b"];
        arcp().args(start).args(arguments).output().unwrap()
    };
    fails(&run(&["--tls-cert", &pem, "--tls-key", &key]), 2, "pipe.key: is not a regular file");
    fails(&run(&["--tls-cert", "/dev/zero", "--tls-key", &key]), 2, "/dev/zero: is not a regular file");
}

#[test]
fn an_address_has_as_many_connections_at_the_door_as_it_is_told_and_any_number_behind_tls() {
    let is_closed = |stream: &mut TcpStream| matches!(stream.read(&mut [0]), Ok(0) | Err(_));
    for limit in [&["--max-connections-per-address", "2"][..], &["--max-connections", "8"]] {
        let serving = serve(limit);
        let _idle = [tcp(&serving), tcp(&serving)];
        assert!(is_closed(&mut tcp(&serving)));
    }
    let serving = serve(&["--max-connections", "8", "--behind-tls"]);
    let _idle = [tcp(&serving), tcp(&serving), tcp(&serving), tcp(&serving)];
    assert!(serving.http("/healthz").ends_with("ok\n"));
    let serving = serve(&["--max-connections-per-address", "2", "--behind-tls"]);
    let _idle = [tcp(&serving), tcp(&serving)];
    assert!(is_closed(&mut tcp(&serving)));
}

#[test]
fn rates_are_read_and_hold() {
    let serving = serve(&["--submit-rate", "1/h:1"]);
    exits(&serving.submit(&["echo"]).output().unwrap(), 0);
    fails(&serving.submit(&["echo"]).output().unwrap(), 1, "try again in ");
    for (flag, value) in [("--submit-rate", "fast"), ("--message-rate", "0/s"), ("--max-connections", "0")] {
        let output = arcp().args(["serve", "--store", "memory", "--token", "a=b", flag, value]).output();
        fails(&output.unwrap(), 2, flag);
    }
}
