//! What a client under test has started, as one: a process group, where there are such. How the client itself is started and how it
//! ends is in `program.rs`.

use tokio::process::{Child, Command};

/// A program and all that it starts, but for what leaves the group by itself. Dropped, it is killed. Where there are no process
/// groups this is nobody, and only the program itself can be ended.
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    /// Has what this starts be a group of its own.
    pub(super) fn lead(command: &mut Command) {
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(not(unix))]
        let _ = command;
    }

    /// The group of what was started so.
    pub(super) fn of(child: &Child) -> Self {
        #[cfg(unix)]
        return Self {
            leader: child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw),
        };
        #[cfg(not(unix))]
        {
            let _ = child;
            Self {}
        }
    }

    /// Kills whoever is left. To be called before the end of the leader is waited for, or as soon as it is known: afterwards its id
    /// may become that of somebody else, and so this does nothing when it is called again.
    pub(super) fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader.take() {
            // Nobody may be left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }

    /// Interrupts all of it, as a terminal does.
    pub(super) fn interrupt(&self) -> Result<(), String> {
        #[cfg(unix)]
        return match self.leader {
            Some(leader) => rustix::process::kill_process_group(leader, rustix::process::Signal::INT)
                .map_err(|error| error.to_string()),
            None => Err("it has ended".to_owned()),
        };
        #[cfg(not(unix))]
        Err("there is no SIGINT here".to_owned())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
