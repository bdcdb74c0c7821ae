//! What agents do with files under their lease, and what links, devices and other writers make of it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arcp_client::proto::event::ToolOutcome;
use arcp_client::proto::{ErrorCode, Lease};
use arcp_runtime::fs::FileKind;
use arcp_runtime::{AgentError, JobContext, agent_fn};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Ran, code, run};

/// Long and odd, so that it is found wherever it leaks.
const SECRET: &str = "secret-canary-71c4";

/// A directory with what is granted in `granted` and `common`, and a secret in `outside`.
struct Tree {
    root: PathBuf,
    _dir: TempDir,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["granted", "common", "outside"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("outside/secret"), SECRET).unwrap();
        Self { root, _dir: dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(name)).unwrap();
    }

    fn lease(&self) -> Lease {
        let mut lease = Lease::empty();
        for capability in ["fs.read", "fs.write"] {
            for name in ["granted", "common"] {
                let path = self.path(name).to_str().unwrap().to_owned();
                lease = lease.grant(capability, path.as_str()).grant(capability, format!("{path}/**"));
            }
        }
        lease
    }

    async fn run(&self, agent: impl arcp_runtime::Agent) -> Ran {
        run(self.lease(), &self.root, agent).await
    }

    /// How reading, writing, appending, listing and looking at each of these ends.
    async fn codes(&self, names: &[&str]) -> Vec<[String; 5]> {
        let agent = agent_fn(async |ctx: JobContext, paths: Vec<PathBuf>| {
            let mut codes = Vec::new();
            for path in paths {
                let fs = ctx.fs();
                codes.push([
                    code(&fs.read(&path).await),
                    code(&fs.write(&path, "written").await),
                    code(&fs.append(&path, "appended").await),
                    code(&fs.list(&path).await),
                    code(&fs.metadata(&path).await),
                ]);
            }
            Ok::<_, AgentError>(codes)
        });
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let ran = run(self.lease(), &paths, agent).await;
        let told =
            serde_json::to_string(&ran.events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>());
        assert!(!told.unwrap().contains(SECRET));
        serde_json::from_value(ran.output().clone()).unwrap()
    }

    /// Every operation on each of these is refused.
    async fn refuses(&self, names: &[&str]) {
        for (name, codes) in names.iter().zip(self.codes(names).await) {
            assert_eq!(codes, ["PERMISSION_DENIED"; 5], "{name}");
        }
        self.is_intact();
    }

    fn is_intact(&self) {
        let names: Vec<_> =
            fs::read_dir(self.path("outside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"]);
        assert_eq!(fs::read_to_string(self.path("outside/secret")).unwrap(), SECRET);
    }
}

#[tokio::test]
async fn an_agent_does_with_files_what_its_lease_grants() {
    let tree = Tree::new();
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let (fs, dir) = (ctx.fs(), root.join("granted/dir"));
        fs.create_dir(&dir).await?;
        let file = dir.join("new.txt");
        fs.write(&file, "one two three").await?;
        fs.write(&file, "one").await?;
        fs.append(&file, " two").await?;
        let read = (fs.read(&file).await?, fs.read_to_string(&file).await?);
        let metadata = fs.metadata(&file).await?;
        assert_eq!((metadata.kind(), metadata.len()), (FileKind::File, 7));
        assert!(metadata.modified().is_some());
        assert_eq!(fs.metadata(&dir).await?.kind(), FileKind::Dir);
        let listed: Vec<_> =
            fs.list(&dir).await?.iter().map(|entry| (entry.name().to_owned(), entry.kind())).collect();
        assert_eq!(listed, [("new.txt".into(), FileKind::File)]);
        fs.remove_file(&file).await?;
        assert!(fs.list(&dir).await?.is_empty());
        Ok::<_, AgentError>(read)
    });
    let ran = tree.run(agent).await;
    assert_eq!(*ran.output(), json!([b"one two", "one two"]));
    let told: Vec<Value> = ran
        .calls()
        .iter()
        .map(|(call, outcome)| {
            assert_eq!(
                call.args.decode::<Value>().unwrap()["target"]
                    .as_str()
                    .unwrap()
                    .find("/granted/dir")
                    .unwrap(),
                tree.root.to_str().unwrap().len()
            );
            let ToolOutcome::Result(result) = outcome else { panic!("{outcome:?}") };
            let operation = call.args.decode::<Value>().unwrap()["operation"].clone();
            json!([call.tool, operation, result])
        })
        .collect();
    let ok = json!({ "ok": true });
    let bytes = |bytes: u32| json!({ "ok": true, "bytes": bytes });
    let entries = |entries: u32| json!({ "ok": true, "entries": entries });
    assert_eq!(
        told,
        [
            json!(["fs.write", "create_dir", ok]),
            json!(["fs.write", "write", bytes(13)]),
            json!(["fs.write", "write", bytes(3)]),
            json!(["fs.write", "append", bytes(4)]),
            json!(["fs.read", "read", bytes(7)]),
            json!(["fs.read", "read", bytes(7)]),
            json!(["fs.read", "metadata", ok]),
            json!(["fs.read", "metadata", ok]),
            json!(["fs.read", "list", entries(1)]),
            json!(["fs.write", "remove_file", ok]),
            json!(["fs.read", "list", entries(0)]),
        ]
    );
}

#[tokio::test]
async fn a_refusal_is_told_and_its_code_ends_the_job() {
    let tree = Tree::new();
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        ctx.fs().read(root.join("outside/secret")).await?;
        Ok::<_, AgentError>(())
    });
    let ran = tree.run(agent).await;
    assert_eq!(ran.error().code, ErrorCode::PermissionDenied);
    let [(call, ToolOutcome::Error(refusal))] = ran.calls()[..] else { panic!("{:?}", ran.events) };
    assert_eq!(call.tool, "fs.read");
    assert_eq!(refusal, ran.error());
}

#[tokio::test]
async fn a_lease_without_money_grants_no_file() {
    let tree = Tree::new();
    fs::write(tree.path("granted/file"), "").unwrap();
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        ctx.fs().read(root.join("granted/file")).await?;
        ctx.charge("test", "USD", "1".parse()?).await?;
        ctx.fs().read(root.join("granted/file")).await?;
        Ok::<_, AgentError>(())
    });
    let ran = run(tree.lease().grant("cost.budget", "USD:1"), &tree.root, agent).await;
    assert_eq!(ran.error().code, ErrorCode::BudgetExhausted);
}

#[tokio::test]
async fn a_path_is_what_it_says() {
    let tree = Tree::new();
    tree.refuses(&[
        "granted/../outside/secret",
        "granted/..",
        "granted/nul\0",
        "outside/secret",
        "outside/none",
    ])
    .await;
    let refused = async |path: PathBuf| tree.refuses(&[path.to_str().unwrap()]).await;
    refused(PathBuf::from("/proc/self/root").join(tree.path("outside/secret").strip_prefix("/").unwrap()))
        .await;
    let relative = run(
        tree.lease(),
        &(),
        agent_fn(async |ctx: JobContext, (): ()| {
            Ok::<_, AgentError>(code(&ctx.fs().read("granted/file").await))
        }),
    );
    assert_eq!(*relative.await.output(), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_link_leads_nowhere_but_to_what_is_granted() {
    let tree = Tree::new();
    tree.link("granted/out", "../outside");
    tree.link("granted/absolute", tree.path("outside"));
    tree.link("granted/secret", tree.path("outside/secret"));
    tree.link("granted/dangling", tree.path("outside/new"));
    tree.link("granted/deep", tree.path("outside/none/new"));
    tree.link("granted/chain", "chained");
    tree.link("granted/chained", "secret");
    tree.link("granted/detour", tree.path("outside/../granted/file"));
    tree.link("granted/detour-to-nothing", tree.path("outside/none/../../granted/file"));
    tree.link("granted/root", "/");
    fs::write(tree.path("granted/file"), "granted").unwrap();
    let out =
        ["granted/out", "granted/out/secret", "granted/out/new", "granted/absolute/secret", "granted/secret"];
    let more =
        ["granted/dangling", "granted/deep", "granted/chain", "granted/detour", "granted/detour-to-nothing"];
    let through_root = format!("granted/root{}", tree.path("outside/secret").display());
    tree.refuses(&[&out[..], &more[..], &["granted/root/none", &through_root]].concat()).await;
    assert_eq!(fs::read(tree.path("granted/file")).unwrap(), b"granted");
}

#[tokio::test]
async fn a_refusal_is_the_same_whatever_is_at_the_end_of_a_link() {
    let tree = Tree::new();
    tree.link("granted/out", tree.path("outside"));
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let mut refusals = Vec::new();
        for name in ["secret", "none", "none/below", "secret/below"] {
            let refusal = ctx.fs().read(root.join("granted/out").join(name)).await.unwrap_err();
            refusals.push(refusal.payload());
        }
        Ok::<_, AgentError>(refusals)
    });
    let ran = tree.run(agent).await;
    let refusals = ran.output().as_array().unwrap();
    assert_eq!(refusals.len(), 4);
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
}

#[tokio::test]
async fn links_among_what_is_granted_are_followed() {
    let tree = Tree::new();
    fs::write(tree.path("common/file"), "common").unwrap();
    tree.link("granted/common", "../common");
    tree.link("granted/absolute", tree.path("common"));
    tree.link("granted/chain", "chained");
    tree.link("granted/chained", "common/file");
    tree.link("granted/new", tree.path("common/new"));
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let (fs, granted) = (ctx.fs(), root.join("granted"));
        for name in ["common/file", "absolute/file", "chain"] {
            assert_eq!(fs.read(granted.join(name)).await?, b"common");
        }
        fs.write(granted.join("new"), "new").await?;
        fs.write(granted.join("common/newer"), "newer").await?;
        assert_eq!(fs.list(granted.join("common")).await?.len(), 3);
        assert_eq!(fs.metadata(granted.join("chain")).await?.kind(), FileKind::File);
        assert_eq!(code(&fs.create_dir(granted.join("chain")).await), "ALREADY_EXISTS");
        fs.remove_file(granted.join("chain")).await?;
        Ok::<_, AgentError>(())
    });
    tree.run(agent).await.outcome.unwrap();
    assert_eq!(fs::read(tree.path("common/new")).unwrap(), b"new");
    assert_eq!(fs::read(tree.path("common/newer")).unwrap(), b"newer");
    assert!(tree.path("granted/chain").symlink_metadata().is_err(), "the link is gone");
    assert_eq!(fs::read(tree.path("common/file")).unwrap(), b"common", "and not what it led to");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_has_a_code() {
    let tree = Tree::new();
    fs::create_dir(tree.path("granted/dir")).unwrap();
    fs::write(tree.path("granted/file"), "").unwrap();
    tree.link("granted/loop", "looped");
    tree.link("granted/looped", "loop");
    tree.link("granted/self", "self/below");
    let none = ["NOT_FOUND"; 5];
    let looped = ["IO_ERROR"; 5];
    let dir = ["NOT_A_FILE", "NOT_A_FILE", "NOT_A_FILE", "ok", "ok"];
    let names = ["none/file", "file/below", "dir", "loop", "self"].map(|name| format!("granted/{name}"));
    let codes = tree.codes(&names.each_ref().map(String::as_str)).await;
    assert_eq!(codes, [none, ["NOT_A_DIRECTORY"; 5], dir, looped, looped]);
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let (fs, granted) = (ctx.fs(), root.join("granted"));
        let small = fs.max_bytes(3);
        fs.write(granted.join("file"), "four").await?;
        Ok::<_, AgentError>([
            code(&fs.read(granted.join("none")).await),
            code(&fs.remove_file(granted.join("none")).await),
            code(&fs.remove_file(granted.join("dir")).await),
            code(&fs.create_dir(granted.join("dir")).await),
            code(&fs.list(granted.join("file")).await),
            code(&small.read(granted.join("file")).await),
            code(&small.list(&granted).await),
            code(&small.max_bytes(4).read(granted.join("file")).await),
        ])
    });
    let expected = [
        "NOT_FOUND",
        "NOT_FOUND",
        "NOT_A_FILE",
        "ALREADY_EXISTS",
        "NOT_A_DIRECTORY",
        "TOO_LARGE",
        "TOO_LARGE",
        "ok",
    ];
    assert_eq!(*tree.run(agent).await.output(), json!(expected));
}

#[tokio::test]
async fn devices_pipes_and_sockets_are_not_opened() {
    let tree = Tree::new();
    let fifo = tree.path("granted/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("granted/socket")).unwrap();
    let codes = tree.codes(&["granted/fifo", "granted/socket"]).await;
    let refused = ["NOT_A_FILE", "NOT_A_FILE", "NOT_A_FILE", "NOT_A_DIRECTORY", "ok"];
    assert_eq!(codes, [refused, refused]);
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    let agent = agent_fn(async |ctx: JobContext, (): ()| {
        Ok::<_, AgentError>([
            code(&ctx.fs().read("/dev/zero").await),
            code(&ctx.fs().write("/dev/null", "").await),
        ])
    });
    let lease = Lease::empty().grant("fs.read", "/dev/**").grant("fs.write", "/dev/**");
    assert_eq!(*run(lease, &(), agent).await.output(), json!(["NOT_A_FILE", "NOT_A_FILE"]));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn links_of_the_kernel_are_links_like_others() {
    let tree = Tree::new();
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let held = std::fs::File::open(root.join("outside/secret"))?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&held);
        let through_root = format!("/proc/self/root{}", root.join("outside/secret").display());
        let paths = [
            format!("/proc/self/fd/{number}"),
            through_root,
            "/proc/self/exe".to_owned(),
            "/proc/self/cwd".to_owned(),
        ];
        let mut codes = Vec::new();
        for path in paths {
            codes.push(code(&ctx.fs().read(path).await));
        }
        codes.push(code(&ctx.fs().read("/proc/self/status").await));
        Ok::<_, AgentError>(codes)
    });
    let lease = Lease::empty().grant("fs.read", "/proc/**");
    let ran = run(lease, &tree.root, agent).await;
    let denied = "PERMISSION_DENIED";
    assert_eq!(*ran.output(), json!([denied, denied, denied, denied, "ok"]));
}

#[tokio::test]
async fn names_that_are_not_utf8_are_listed_and_not_opened() {
    let tree = Tree::new();
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff").to_owned();
    fs::write(tree.path("granted").join(&odd), "").unwrap();
    fs::write(tree.path("granted/plain"), "").unwrap();
    tree.link("granted/zlink", tree.path("outside"));
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let entries = ctx.fs().list(root.join("granted")).await?;
        let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name().as_bytes()).collect();
        assert_eq!(names, [&b"odd-\xff"[..], b"plain", b"zlink"]);
        let kinds: Vec<FileKind> = entries.iter().map(arcp_runtime::fs::DirEntry::kind).collect();
        assert_eq!(kinds, [FileKind::File, FileKind::File, FileKind::Link]);
        Ok::<_, AgentError>(code(&ctx.fs().read(root.join("granted").join(entries[0].name())).await))
    });
    assert_eq!(*tree.run(agent).await.output(), "PERMISSION_DENIED");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_swaps_directories_and_links_gets_nothing_out() {
    const ROUNDS: usize = 3_000;
    let tree = Tree::new();
    fs::create_dir(tree.path("granted/dir")).unwrap();
    fs::write(tree.path("granted/dir/file"), "").unwrap();
    fs::write(tree.path("granted/leaf"), "").unwrap();
    tree.link("granted/dir-link", tree.path("outside"));
    tree.link("granted/leaf-link", tree.path("outside/secret"));
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (stop, granted) = (Arc::clone(&stop), tree.path("granted"));
        let swap = move |name: &str| {
            let [one, other] = ["", "-link"].map(|end| granted.join(format!("{name}{end}")));
            let (at, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
            rustix::fs::renameat_with(at, one, at, other, flags).unwrap();
        };
        move || {
            while !stop.load(Ordering::Relaxed) {
                swap("dir");
                swap("leaf");
            }
        }
    });
    let agent = agent_fn(async |ctx: JobContext, root: PathBuf| {
        let (fs, granted) = (ctx.fs(), root.join("granted"));
        let mut codes = std::collections::BTreeMap::<String, usize>::new();
        for round in 0..ROUNDS {
            let path = granted.join(["dir/new", "leaf", "dir/secret"][round % 3]);
            *codes.entry(code(&fs.write(&path, "written").await)).or_default() += 1;
            let read = fs.read(&path).await;
            assert!(read.is_err() || read.unwrap() != SECRET.as_bytes());
            let listed = fs.list(granted.join("dir")).await;
            assert!(listed.is_err() || listed.unwrap().iter().any(|entry| entry.name() == "file"));
        }
        Ok::<_, AgentError>(codes)
    });
    let ran = tree.run(agent).await;
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    tree.is_intact();
    let codes = ran.output();
    assert!(codes["ok"].as_u64() > Some(0), "{codes}");
    assert!(codes["PERMISSION_DENIED"].as_u64() > Some(0), "{codes}");
}
