//! A session on the real model.

use std::path::Path;

use lcedge::setup::{Ready, SetupOptions, open};

pub(crate) fn options(store: &Path) -> SetupOptions {
    SetupOptions {
        store: Some(store.to_path_buf()),
        offline: true,
        variable: |name| std::env::var_os(name),
        window: Some(512),
        chunk: Some(128),
        ..SetupOptions::default()
    }
}

pub(crate) fn ready(store: &Path) -> Ready {
    open(&options(store), &mut |_| ()).unwrap_or_else(|e| {
        panic!(
            "{e}\nrun `cargo run --release -- model prepare smollm2-135m` and \
             `cargo run --release -- doctor` once: tests do not use the network"
        )
    })
}
