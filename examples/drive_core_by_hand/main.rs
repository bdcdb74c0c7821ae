//! The protocol without async and without the crates that drive it: both machines of `arcp-core`, each in a thread, with lines over
//! `std::net` between them. What a driver owes a machine is all here.
//!
//! ```sh
//! cargo run --example drive_core_by_hand
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

mod client;
mod runtime;
mod wire;

use std::net::TcpListener;
use std::thread;

fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let runtime = thread::spawn(move || runtime::serve_one(&listener));
    let sum = client::sum(address, &[1, 2, 3])?;
    println!("the sum is {sum}");
    runtime.join().map_err(|_| anyhow::anyhow!("the thread of the runtime panicked"))?
}
